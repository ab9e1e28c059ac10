"""Running a grid: from its lists to cells and stages, who does those, and the folder they fill.

``grid`` is what a user writes, ``plan`` what it comes to, ``stages`` the pieces of work, ``store``
where each finished piece lies under a digest of all that determines it, ``executors`` who does
them, ``recorder`` what the run's folder says.
"""
