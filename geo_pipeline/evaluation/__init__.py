"""What the answers are worth: accuracy tables, figures and the report.

Here live the statistics and everything that is drawn. Not here: making predictions (model) and deciding what is a
benchmark (profile). The one idea: plain tables in, tables, pictures and one HTML file out.
"""
