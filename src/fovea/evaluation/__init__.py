"""How good is it, and how sure may it be."""
