"""What losses of rows of classes but cross-entropy raise, and when. Not here: what they compute."""

import numpy as np
import pytest
from inputs import INF, NAN
from test_row_losses import each_labelled

import fastloss as fl


class TestErrors:
    @each_labelled
    def test_labels(self, case, dtype, isa):
        x = np.full((3000, 40), 0.5, dtype)
        t = np.zeros(3000, int)
        t[-1] = 40
        out, grad = np.full(3000, 7, dtype), np.full_like(x, 7)
        for options in ({"out": out, "reduction": "none"}, {}):
            with pytest.raises(ValueError, match=r"target\[2999\] = 40 is outside \[0, 40\) and is not ignore_index"):
                getattr(fl, case.name).value_and_grad(x, t, grad_out=grad, **options)
        assert (out == 7).all()
        assert (grad == 7).all()
        with pytest.raises(TypeError, match=r"target has dtype float64.*integers"):
            getattr(fl, case.name)(x, t.astype(float))
        with pytest.raises(TypeError, match=r"target has dtype int64.*class indices of shape \(3000,\)"):
            getattr(fl, case.name)(x, np.zeros((3000, 40), int))
        with pytest.raises(TypeError, match="target has dtype float64"):
            getattr(fl, case.name).denominator(t.astype(float))

    @pytest.mark.parametrize("name", ["kl_divergence", "categorical_cross_entropy"])
    def test_shape_of_probabilities(self, name):
        with pytest.raises(ValueError, match=r"target has shape \(3,\).*\(3, 4\).*sparse_categorical_cross_entropy"):
            getattr(fl, name)(np.full((3, 4), 0.25), [0, 1, 2])

    @pytest.mark.parametrize("backend", ["native", "reference", "check"])
    @pytest.mark.parametrize(
        ("name", "bad", "message"),
        [
            ("categorical_cross_entropy", -0.1, r"probabilities\[2, 5\] = -0.1.*\[0, 1\]"),
            ("categorical_cross_entropy", 1.5, r"probabilities\[2, 5\] = 1.5.*\[0, 1\]"),
            ("sparse_categorical_cross_entropy", 1.5, r"probabilities\[2, 5\] = 1.5.*\[0, 1\]"),
            ("kl_divergence", -0.25, r"prediction\[2, 5\] = -0.25.*>= 0"),
        ],
    )
    def test_predictions_outside_their_domain(self, name, bad, message, backend):
        x = np.full((3, 700), 0.5)
        x[2, 5] = bad
        t = np.zeros(3, int) if name.startswith("sparse") else np.full((3, 700), 0.5)
        grad = np.full_like(x, 7)
        with fl.backend(backend):
            with pytest.raises(ValueError, match=message):
                getattr(fl, name).value_and_grad(x, t, grad_out=grad)
            if name == "kl_divergence":
                with pytest.raises(ValueError, match=r"target\[2, 5\] = -0.25.*>= 0"):
                    fl.kl_divergence(np.full((3, 700), 0.5), x, from_logits=True)
                assert np.isfinite(fl.kl_divergence(x, np.abs(x), from_logits=True))
                assert np.isfinite(fl.kl_divergence(np.full((3, 700), 1.5), np.full((3, 700), 2.5)))
        assert (grad == 7).all()

    @pytest.mark.parametrize(
        ("name", "options", "error", "message"),
        [
            ("softmax_focal_loss", {"gamma": -1.0}, ValueError, "gamma = -1.0.*>= 0"),
            ("softmax_focal_loss", {"gamma": NAN}, ValueError, "gamma = nan"),
            ("softmax_focal_loss", {"alpha": 1.5}, ValueError, r"alpha = 1.5.*\[0, 1\]"),
            ("softmax_focal_loss", {"alpha": [0.5, 0.5]}, ValueError, r"alpha has shape \(2,\).*\(5,\)"),
            ("softmax_focal_loss", {"alpha": [1, 2, -3, 4, 5]}, ValueError, r"alpha\[2\] = -3"),
            ("softmax_focal_loss", {"class_weight": [1, 2]}, ValueError, r"class_weight has shape \(2,\).*\(5,\)"),
            ("poly_cross_entropy", {"epsilon": (1.0, INF)}, ValueError, r"epsilon\[1\] = inf"),
            ("poly_cross_entropy", {"epsilon": "1"}, TypeError, "epsilon = '1'"),
            ("poly_cross_entropy", {"form": "maclaurin"}, ValueError, "form = 'maclaurin'.*'paper' or 'taylor'"),
            ("multiclass_hinge_loss", {"margin": -1.0}, ValueError, "margin = -1.0.*>= 0"),
            ("multiclass_hinge_loss", {"variant": "ww"}, ValueError, "variant = 'ww'.*'weston-watkins'"),
            ("multiclass_hinge_loss", {"scale": None}, ValueError, "scale = None.*'none' or 'classes'"),
            ("multiclass_hinge_loss", {"axis": 2}, ValueError, "axis = 2"),
            ("sparse_categorical_cross_entropy", {"ignore_index": 0.5}, TypeError, "ignore_index = 0.5"),
        ],
    )
    def test_parameters(self, name, options, error, message):
        x = np.full((4, 5), 0.5)
        for given in (x, x.tolist()):  # the quick path and the general one
            with pytest.raises(error, match=message):
                getattr(fl, name)(given, np.arange(4), **options)

    def test_from_logits_is_a_flag(self):
        with pytest.raises(TypeError, match="from_logits = 1 "):
            fl.kl_divergence([[0.5]], [[0.5]], from_logits=1)

    def test_no_second_derivative(self):
        assert not hasattr(fl.multiclass_hinge_loss, "value_grad_hess")
        with pytest.raises(AttributeError, match=r"multiclass_hinge_loss has no value_grad_hess: .*Hessian"):
            fl.multiclass_hinge_loss.value_grad_hess
