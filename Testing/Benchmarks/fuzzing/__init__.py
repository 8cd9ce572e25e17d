"""Made-up inputs, right ones and damaged ones, and what the library makes of them."""
