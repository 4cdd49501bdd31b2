"""The life of an environment: plan it, bring it up, save it, change it under one guard, remove it."""
