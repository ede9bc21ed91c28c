"""Facts and settings of the baselines, without torch: one module a method, named like the method's own."""
