"""Study: Effective Shapley values and Shapley Integrated Gradients."""
