"""Model families behind one protocol; only `voiced.child` imports them."""
