"""Embedding, attacking and ranking: how a mAP comes about, each step checked."""
