"""What guidance costs a network and what it gives: recipes, kinds of fields and seeds, compared at equal budgets."""
