"""The engine: sees every torch call of a forward pass and puts the rule of that call in place."""
