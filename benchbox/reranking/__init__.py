"""Rankings that look at more than one query and the gallery: what the field calls re-ranking.

Each takes all queries and the whole gallery at once and gives new distances, a chunk of queries at
a time: nothing here is as large as queries times gallery. `rankings.RANKINGS` names them.
"""
