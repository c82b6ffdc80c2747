"""What guidance costs a network and what it gives: recipes, sets and seeds, compared at equal budgets."""
