# The evolution of Single Path One-Shot (arXiv:1904.00420): 20 generations of 50 Subnets.
# Budget, metric and calibration are set where it is used.
search = dict(
    searcher=dict(
        type='EvolutionSearcher',
        population=50,
        generations=20,
        top_k=10,
        mutation=25,
        crossover=25,
        mutation_prob=0.1))
