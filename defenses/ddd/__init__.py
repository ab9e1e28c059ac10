"""DDD: data balancing and the bi-adversarial self-meta defense (Zhou et al. 2025).

``recipe`` joins the four modules: ``balancing`` (Eq. 1, 2, with a diffusion model), ``softening``
(FNES, Eq. 4, 5), ``discriminator`` (Eq. 6–8) and ``self_meta`` (Eq. 9–13).
"""
