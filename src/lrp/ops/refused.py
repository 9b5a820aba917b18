"""Functions that have no right rule yet, or never will, each with the reason that the error gives."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["REFUSED"]

_REASONS = {
    "a loss compares with a label: explain the logit": """
        binary_cross_entropy binary_cross_entropy_with_logits cosine_embedding_loss cross_entropy linear_cross_entropy
        ctc_loss gaussian_nll_loss hinge_embedding_loss huber_loss kl_div l1_loss margin_ranking_loss mse_loss
        multi_margin_loss multilabel_margin_loss multilabel_soft_margin_loss nll_loss poisson_nll_loss smooth_l1_loss
        soft_margin_loss triplet_margin_loss triplet_margin_with_distance_loss
    """,
    "a decomposition or an inverse of a matrix of data has no rule": """
        cholesky cholesky_inverse det geqrf inverse linalg_cholesky linalg_cholesky_ex linalg_cond
        linalg_det linalg_eig linalg_eigh linalg_eigvals linalg_eigvalsh linalg_householder_product linalg_inv
        linalg_inv_ex linalg_ldl_factor linalg_ldl_factor_ex linalg_ldl_solve linalg_lstsq linalg_lu linalg_lu_factor
        linalg_lu_factor_ex linalg_matrix_exp linalg_pinv linalg_qr linalg_slogdet linalg_svd linalg_tensorinv lobpcg
        logdet lu lu_unpack matrix_exp orgqr ormqr pca_lowrank pinverse qr slogdet svd svd_lowrank
        triangular_solve
    """,
    "its result is drawn at random": """
        bernoulli binomial gumbel_softmax multinomial native_dropout normal poisson bernoulli_ cauchy_ exponential_
        geometric_ log_normal_ normal_ random_ uniform_
    """,
    "an angle is not linear in its data, and has no value at 0": "angle atan2 arctan2",
    "a special function of two arguments has no rule": """
        igamma igammac special_gammainc special_gammaincc polygamma special_polygamma special_zeta
    """,
    "torch's own gradient of it is that of the elements that were overwritten": "as_strided_scatter",
    "torch has no derivative of it": """
        slice_inverse view_as_complex_copy floor_divide heaviside histogram histogramdd nextafter unique
        unique_consecutive
    """,
    "torch has no derivative of integer arithmetic: explain the model as it was before it was quantised": """
        linear_dynamic linear_relu_dynamic quantized_lstm quantized_gru quantized_lstm_cell_dynamic
        quantized_gru_cell_dynamic quantized_rnn_relu_cell_dynamic quantized_rnn_tanh_cell_dynamic
    """,
    "it takes a number apart": "frexp",
    "it changes the size of a tensor in place": "resize resize_ resize_as_ resize_as_sparse_",
}

REFUSED: Mapping[str, str] = {name: reason for reason, names in _REASONS.items() for name in names.split()}
"""Torch function name -> why it is refused, in one sentence."""
