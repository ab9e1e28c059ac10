"""The model of models.py as it came, and hardened by FARE: two rows of one grid."""

from models import SMALL_NET

from defenses import Fare, Hardened

SMALL_NET_FARE = Hardened(
    name="small_net_fare",
    title="SmallNet + FARE",
    model=SMALL_NET.model,
    recipe=Fare(),
    source="examples/own_model of benchbox, with Schlarmann et al. 2024",
)
