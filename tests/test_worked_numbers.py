"""The worked numbers of the source documents, and inputs on which other libraries are known to be wrong."""

import numpy as np
import pytest
from cases import CASES
from truth import mp_value

import fastloss as fl

WORKED = [(case.name, worked) for case in CASES for worked in case.worked]


@pytest.mark.parametrize(("name", "worked"), WORKED, ids=[f"{n}-{w.source}-{i}" for i, (n, w) in enumerate(WORKED)])
def test_worked_number(name, worked):
    prediction, target = np.array(worked.prediction, float), np.array(worked.target)
    loss = getattr(fl, name)
    value = loss(prediction, target, reduction=worked.reduction, **worked.parameters)
    assert value == pytest.approx(worked.value, rel=worked.rel, abs=worked.abs or 1e-300)
    assert loss.value_and_grad(prediction, target, reduction=worked.reduction, **worked.parameters)[0] == pytest.approx(
        value, rel=0, abs=0
    )


@pytest.mark.parametrize(
    ("logits", "target"), [([1.5, 2.0, 3.0], 2), ([0.2, 1.1, 0.8], 1), ([2.4, 1.6, 3.5], 0), ([10, 0, -100], 2)]
)
def test_rows_that_are_printed_with_few_digits(logits, target):
    exact = float(mp_value("cross_entropy", [float(v) for v in logits], target))
    assert fl.cross_entropy([logits], [target]) == pytest.approx(exact, rel=1e-14)


class TestDefectsOfOthers:
    """Each of these inputs makes a well-known library return something else."""

    def test_row_far_below_zero(self):
        # XGBoost starts the maximum of its softmax at 1.2e-38.
        rows = np.array([[-200.0, -201.0, -199.0]], np.float32)
        value, grad = fl.cross_entropy.value_and_grad(rows, [0])
        assert value == pytest.approx(1.4076059644443804, rel=1e-7)
        assert grad[0] == pytest.approx([0.24472847 - 1, 0.09003057, 0.66524096], rel=1e-6)

    def test_infinite_logit_of_a_sure_label(self):
        # torch: NaN.
        assert fl.binary_cross_entropy_with_logits.value_and_grad([np.inf], [1.0])[0] == 0
        assert fl.binary_cross_entropy_with_logits.value_and_grad([np.inf], [1.0])[1].tolist() == [0]

    def test_confident_negative_keeps_its_digits(self):
        # torch: 0 in float32.
        value = fl.binary_cross_entropy_with_logits(np.float32([-15]), np.float32([0]))
        assert value == pytest.approx(3.059022737137205e-07, rel=1e-7)

    @pytest.mark.parametrize(("gap", "value"), [(18, 1.5229979512760347e-08), (20, 2.0611536181902037e-09)])
    def test_confident_row_keeps_its_digits(self, gap, value):
        # Every mainstream library: 0 in float32 (scipy#19521 among them).
        assert fl.cross_entropy(np.float32([[gap, 0]]), [0]) == pytest.approx(value, rel=3e-7)
        assert fl.cross_entropy.value_and_grad(np.float32([[gap, 0]]), [0])[1][0] == pytest.approx(
            [-value, value], rel=3e-7
        )

    def test_confidently_wrong_logit_has_a_gradient(self):
        # scikit-learn#28046: NaN in the Hessian; Keras: about 0, clipped.
        value, grad, hess = fl.binary_cross_entropy_with_logits.value_grad_hess([-1000.0], [1.0])
        assert (value, grad.tolist(), hess.tolist()) == (1000.0, [-1.0], [0.0])

    def test_probability_of_zero_for_what_happened(self):
        # Keras and torch clip and lose the gradient.
        value, grad = fl.binary_cross_entropy.value_and_grad([0.0, 1e-30], [1.0, 1.0], reduction="none")
        assert value.tolist() == [np.inf, pytest.approx(69.07755278982137)]
        assert grad.tolist() == [-np.inf, pytest.approx(-1e30)]

    def test_absolute_error_at_zero(self):
        # scikit-learn: gradient -1.
        assert fl.l1_loss.value_and_grad([3.0], [3.0])[1].tolist() == [0]

    def test_column_against_row(self):
        # NumPy, torch and the class printed in 002 broadcast to (N, N); its 4.922 is wrong for that reason.
        with pytest.raises(ValueError, match=r"\(3, 1\).*\(3,\)"):
            fl.mse_loss(np.zeros(3), np.zeros((3, 1)))

    def test_unsigned_labels_are_taken_by_value(self):
        # 156 is -100 in eight bits.
        with pytest.raises(ValueError, match="156"):
            fl.cross_entropy(np.zeros((1, 5)), np.array([156], np.uint8))

    def test_mean_of_many(self):
        # pytorch#55657: the mean of many equal numbers, in float32, is that number.
        x = np.full(3_000_000, 0.1, np.float32)
        assert fl.l1_loss(x, np.zeros_like(x)) == pytest.approx(float(np.float32(0.1)), rel=1e-12)
