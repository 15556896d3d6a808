"""What the answers are worth: accuracy tables, figures, the report, the map of cells and the game.

Here live the statistics, the fit of temperatures, the search for judged photos that were learnt, and everything that
is drawn. Not here: making predictions (model) and deciding what is a benchmark (profile). The one idea: plain tables
in, tables, pictures and HTML files out that need nothing else.
"""
