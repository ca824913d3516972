"""Agent patterns written in the DSL: the compiler sees through them and the planner prices them."""
