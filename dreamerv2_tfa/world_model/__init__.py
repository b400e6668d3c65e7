"""The world model: RSSM, heads, loss, and imagination inside it."""
