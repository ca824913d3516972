"""Model calls: what they are asked, what they may use, and what their replies are."""
