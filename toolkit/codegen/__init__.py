"""QNetwork -> readable C: `lower` makes the plain facts, `render` the text, from the templates beside them."""
