"""How parallel a net is to be, and what that costs."""
