"""IBM Key Protect and Hyper Protect Crypto Services (HPCS) as key managers, over HTTPS."""
