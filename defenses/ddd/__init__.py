"""DDD: data balancing and the bi-adversarial self-meta defense (Zhou et al. 2025)."""
