"""How public repositories name the tensors of their ReID models.

The names of torchreid 0.2.5 and fastreid 1.4.0 were taken from the packages, the others from the
repositories' sources. A layout that no builder of ours computes says so, and what to do instead.
"""

from collections.abc import Iterable

from benchbox.models.checkpoints.layouts import Layout

CLASSIFIER = "tells training identities apart; retrieval does not use it"
COUNTER = "counts training steps; a finished model does not use it"

_OWN_BUILDER = "give a builder of your own, file.py:function, that returns its repository's model"
_TRAIN = 'it starts a training, as pretrained = "FILE" of the backbone it belongs to'
_PIXELS = ("mean", "std")
_PIXEL_STATISTICS = (("mean", "pixel_mean"), ("std", "pixel_std"))
_BNNECK = "stands behind the embedding that this builder gives"


def _benchbox(backbone: str, *, has: str, lacks: tuple[str, ...] = ()) -> Layout:
    return Layout(
        name=f"benchbox {backbone}",
        has=("trunk.*", "neck.running_mean", has),
        lacks=("head.*", "neck.bias", *lacks),
        builders=(backbone,),
        any_backbone=True,
        names=(("", ""),),
        embedding="neck.running_mean",
        classifier=("classifier.weight",),
        bnneck=True,
    )


_OURS = (
    _benchbox("resnet50", has="trunk.layer3.5.conv3.weight", lacks=("trunk.layer3.6.*",)),
    _benchbox("apnet", has="trunk.pyramids.4.*"),
    Layout(
        name="benchbox, another backbone",
        has=("trunk.*", "neck.running_mean", "mean", "std"),
        lacks=("neck.bias",),
        names=(("", ""),),
        embedding="neck.running_mean",
        classifier=("classifier.weight",),
        bnneck=True,
        any_backbone=True,
        instead="name the backbone it was trained with as its builder",
    ),
)

_STRONG_BASELINE = (
    Layout(
        name="TransReID",
        has=("base.patch_embed.*", "base.blocks.0.*"),
        embedding="bottleneck.running_mean",
        classifier=("classifier.weight",),
        bnneck=True,
        instead=f"{_OWN_BUILDER}; it takes camera ids where the file has base.sie_embed",
    ),
    Layout(
        name="reid-strong-baseline resnet50_ibn_a",
        has=("base.layer1.0.conv1.weight", "base.*.IN.weight"),
        embedding="bottleneck.running_mean",
        classifier=("classifier.weight",),
        bnneck=True,
        instead=f"its instance norms are not in our ResNet-50: {_OWN_BUILDER}",
    ),
    Layout(
        name="reid-strong-baseline resnet50, BNNeck",
        has=("base.conv1.weight", "base.layer1.0.conv3.weight", "bottleneck.running_mean"),
        builders=("strong_baseline_resnet50", "strong_baseline_resnet50_pooled"),
        defaults=_PIXELS,
        names=(("trunk.", "base."), ("head.", "bottleneck.")),
        left_out=(("classifier.weight", CLASSIFIER), ("bottleneck.*", _BNNECK)),
        embedding="bottleneck.running_mean",
        classifier=("classifier.weight",),
        bnneck=True,
    ),
    Layout(
        name="reid-strong-baseline resnet50, no neck",
        has=("base.conv1.weight", "base.layer1.0.conv3.weight"),
        lacks=("bottleneck.*",),
        builders=("strong_baseline_resnet50_pooled",),
        defaults=_PIXELS,
        names=(("trunk.", "base."),),
        left_out=(("classifier.*", CLASSIFIER),),
        embedding="base.layer4.2.bn3.weight",
        classifier=("classifier.weight",),
    ),
)

_FAST_REID_BODY = ("backbone.conv1.weight", "backbone.layer1.0.conv3.weight")
_FAST_REID_CLASSIFIERS = ("heads.weight", "heads.classifier.weight", "heads.classifier._weight")
_FAST_REID_REFUSED = (
    ("IBN", "backbone.*.IN.weight", "its instance norms are not in our ResNet-50"),
    ("non-local blocks", "backbone.NL_*", "its non-local blocks are not in our ResNet-50"),
    ("SE", "backbone.*.se.*", "its squeeze-excitation is not in our ResNet-50"),
    ("GeM pooling", "heads.pool_layer.p", "our ResNet-50 pools by the mean, not by GeM"),
    ("a reduced embedding", "heads.bottleneck.1.weight", "our head does not reduce the embedding"),
)


def _fast_reid(name: str, builder: str, other: str, *, neck: str) -> Layout:
    return Layout(
        name=name,
        has=(*_FAST_REID_BODY, f"{neck}running_mean"),
        builders=(builder, other),
        defaults=_PIXELS,
        names=(("trunk.", "backbone."), ("head.", neck), *_PIXEL_STATISTICS),
        left_out=tuple((pattern, CLASSIFIER) for pattern in _FAST_REID_CLASSIFIERS),
        per_255=_PIXELS,
        embedding=f"{neck}running_mean",
        classifier=_FAST_REID_CLASSIFIERS,
        bnneck=True,
    )


_FAST_REID = (
    *(
        Layout(
            name=f"fast-reid ResNet with {what}",
            has=(_FAST_REID_BODY[0], pattern),
            embedding="heads.b*.running_mean",
            classifier=_FAST_REID_CLASSIFIERS,
            bnneck=True,
            instead=f"{why}: {_OWN_BUILDER}",
        )
        for what, pattern, why in _FAST_REID_REFUSED
    ),
    _fast_reid(
        "fast-reid BoT-R50",
        "fastreid_resnet50",
        "fastreid_resnet50_2020",
        neck="heads.bottleneck.0.",
    ),
    _fast_reid(
        "fast-reid BoT-R50, model zoo of 2020",
        "fastreid_resnet50_2020",
        "fastreid_resnet50",
        neck="heads.bnneck.",
    ),
)

_ADV_REID = (
    Layout(
        name="adv-reid Classification",
        has=("backbone.conv1.weight", "backbone.fc.running_mean"),
        builders=("adv_reid_classification",),
        defaults=_PIXELS,
        names=(("trunk.", "backbone."), ("head.", "backbone.fc.")),
        left_out=(("fc.*", CLASSIFIER),),
        embedding="backbone.fc.running_mean",
        classifier=("fc.weight",),
    ),
    Layout(
        name="adv-reid Triplet",
        has=("backbone.conv1.weight", "backbone.fc.0.running_mean", "backbone.fc.2.weight"),
        builders=("adv_reid_triplet",),
        defaults=_PIXELS,
        names=(("trunk.", "backbone."), ("head.", "backbone.fc.")),
        embedding="backbone.fc.2.weight",
    ),
)

_TORCHREID = (
    Layout(
        name="torchreid OSNet",
        has=("conv1.conv.weight", "conv2.0.*", "fc.0.weight"),
        embedding="fc.0.weight",
        classifier=("classifier.weight",),
        instead=f"OSNet is not among our models: {_OWN_BUILDER}",
    ),
    Layout(
        name="torchreid resnet50_ibn",
        has=("conv1.weight", "layer1.0.conv3.weight", "*.IN.weight"),
        embedding="layer4.2.bn3.weight",
        classifier=("classifier.weight",),
        instead=f"its instance norms are not in our ResNet-50: {_OWN_BUILDER}",
    ),
    Layout(
        name="torchreid resnet50_fc512",
        has=("conv1.weight", "layer1.0.conv3.weight", "fc.0.weight", "fc.1.running_mean"),
        lacks=("fc.2.*", "fc.3.*"),
        builders=("torchreid_resnet50_fc512",),
        defaults=_PIXELS,
        names=(("trunk.", ""), ("head.", "fc.")),
        left_out=(("classifier.*", CLASSIFIER),),
        embedding="fc.0.weight",
        classifier=("classifier.weight",),
    ),
    Layout(
        name="torchreid resnet50",
        has=("conv1.weight", "layer1.0.conv3.weight", "layer4.2.*", "classifier.weight"),
        lacks=("fc.*",),
        builders=("torchreid_resnet50",),
        defaults=_PIXELS,
        names=(("trunk.", ""),),
        left_out=(("classifier.*", CLASSIFIER),),
        embedding="layer4.2.bn3.weight",
        classifier=("classifier.weight",),
    ),
)

_IMAGE_CLASSIFIERS = (
    Layout(
        name="ResNet of torchvision or timm",
        has=("conv1.weight", "layer1.0.conv1.weight", "layer4.0.*"),
        lacks=("classifier.*",),
        embedding="layer4.0.downsample.0.weight",
        classifier=("fc.weight",),
        instead=_TRAIN,
    ),
    Layout(
        name="vision transformer of timm",
        has=("patch_embed.proj.weight", "blocks.0.attn.qkv.weight", "norm.weight"),
        embedding="norm.weight",
        classifier=("head.weight",),
        instead=_TRAIN,
    ),
)

LAYOUTS = (
    *_OURS,
    *_STRONG_BASELINE,
    *_ADV_REID,
    *_FAST_REID,
    *_TORCHREID,
    *_IMAGE_CLASSIFIERS,
)
"""What is recognised, in this order: a layout that is a special case stands before the general."""


def layout_of(names: Iterable[str]) -> Layout | None:
    """Return the first of `LAYOUTS` that fits a file's names, None where we know none."""
    names = list(names)
    return next((layout for layout in LAYOUTS if layout.fits(names)), None)
