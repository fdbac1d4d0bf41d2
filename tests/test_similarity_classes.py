"""What ArcFace and GE2E alone have: margins, ignored and weighted classes, centroids. Tiles: test_similarity.py."""

import math

import numpy as np
import pytest
from cases import BY_NAME
from cases.similarity import classified
from compare import relative_error, same_bits
from test_several import call, truth

import fastloss as fl

ARC, GE2E = BY_NAME["arcface_loss"], BY_NAME["ge2e_loss"]


class TestArcFace:
    def test_without_a_margin_it_is_cross_entropy_of_cosines(self, dtype, rng):
        """Class weights, ignored rows, sample weights and denominators too."""
        x, centers = rng.standard_normal((20, 6)).astype(dtype), rng.standard_normal((5, 6)).astype(dtype)
        target = rng.integers(0, 5, 20).astype("u1")
        target[4] = 200
        unit = [a / np.linalg.norm(a, axis=1, keepdims=True) for a in (x, centers)]
        logits = 10 * unit[0] @ unit[1].T
        by_class, weight = np.array([0, 0.5, 1, 2, 3]), rng.uniform(0, 2, 20)
        x[4] = np.nan
        for options in ({}, {"class_weight": by_class}, {"sample_weight": weight, "class_weight": by_class}):
            options = {"ignore_index": 200, **options}
            value = fl.arcface_loss(x, centers, target, scale=10.0, margin=0.0, **options)
            assert value == pytest.approx(fl.cross_entropy(logits, target, **options), rel=1e-5)
            total = fl.arcface_loss.denominator(target, **options)
            assert relative_error(total, fl.cross_entropy.denominator(target, **options)) == 0

    def test_rows_that_do_not_count_may_hold_anything(self, dtype, rng):
        x, centers, target = classified(rng, (14, 6), dtype, {})
        target[:3], target[3] = 5, 2
        by_class = np.arange(1.0, 8.0)
        by_class[2] = 0
        options = {"ignore_index": 5, "class_weight": by_class, "scale": 5.0}
        expected = fl.arcface_loss.value_and_grad(x, centers, target, **options)
        dead = (target == 5) | (target == 2)
        x[dead] = np.nan
        results = fl.arcface_loss.value_and_grad(x, centers, target, **options)
        assert same_bits(results, expected)
        assert (results[1][0][dead] == 0).all()
        assert same_bits(
            fl.arcface_loss.value_and_grad(
                x, centers, target, sample_weight=np.where(target == 5, np.nan, 1), **options
            ),
            expected,
        )

    def test_labels_out_of_range(self, rng):
        x, centers = rng.standard_normal((3, 4)), rng.standard_normal((5, 4))
        out = np.full((3, 4), 7.0)
        for label in (5, -1, 2**40):
            with pytest.raises(ValueError, match=rf"target\[1\] = {label} is outside \[0, 5\) and is not ignore_index"):
                fl.arcface_loss.value_and_grad(x, centers, np.array([0, label, -100]), grad_out=(out, None))
        with pytest.raises(TypeError, match="target has dtype float64; expected class indices"):
            fl.arcface_loss(x, centers, np.zeros(3))
        with pytest.raises(ValueError, match=r"target has shape \(2,\)"):
            fl.arcface_loss(x, centers, np.zeros(2, int))
        with pytest.raises(ValueError, match=r"class_centers has shape \(5, 3\)"):
            fl.arcface_loss(x, centers[:, :3], np.zeros(3, int))
        with pytest.raises(ValueError, match="3 rows of no classes"):
            fl.arcface_loss(x, centers[:0], np.zeros(3, int))
        with pytest.raises(ValueError, match=r"class_weight has shape \(4,\)"):
            fl.arcface_loss(x, centers, np.zeros(3, int), class_weight=np.ones(4))
        assert (out == 7).all()

    def test_target_logit_falls_with_the_angle(self, dtype):
        """From 0 to pi, past pi - m too, where cos(theta + m) would rise."""
        theta = np.linspace(0, np.pi, 400)
        x = np.stack([np.cos(theta), np.sin(theta)], axis=1).astype(dtype)
        centers = np.array([[1, 0], [0, -1]], dtype)
        for margin in (0.3, 0.5, 1.5):
            value = fl.arcface_loss(x, centers, np.zeros(400, int), margin=margin, scale=2.0, reduction="none")
            cosine = x[:, 1] * -1.0
            logit = 2.0 * cosine - np.log(np.expm1(value.astype(float)))
            step = np.diff(logit)
            assert (step < 1e-5).all()

    def test_gradient_next_to_its_center(self, rng):
        """A small angle's direction keeps its digits: nothing is divided by a sine that cancellation made."""
        center = np.array([3.0, 4.0, 0.0])
        for angle in (1e-2, 1e-4, 1e-6, 1e-9):
            x = center / 5 * math.cos(angle) + np.array([0.0, 0.0, math.sin(angle)])
            _, (grad, _) = fl.arcface_loss.value_and_grad(x[None], np.stack([center, -center]), [0], scale=1.0)
            p = 1 / (1 + math.exp(math.cos(angle + 0.5) + math.cos(angle)))
            expected = p * (math.sin(angle + 0.5) + math.sin(angle)) * math.cos(angle)
            assert grad[0, 2] == pytest.approx(expected, rel=1e-6)
            assert abs(grad[0, :2]).max() <= angle + 1e-15 / angle  # the vectors themselves are rounded

    def test_any_leading_axes(self, dtype, rng):
        x, centers, target = classified(rng, (4, 5, 6), dtype, {})
        whole = fl.arcface_loss.value_and_grad(x, centers, target, reduction="none")
        rows = fl.arcface_loss.value_and_grad(x.reshape(20, 6), centers, target.ravel(), reduction="none")
        assert same_bits(whole[0].ravel(), rows[0])
        assert same_bits(whole[1][0].reshape(20, 6), rows[1][0])
        assert same_bits(whole[1][1], rows[1][1])
        one = fl.arcface_loss.value_and_grad(x[1, 2], centers, target[1, 2], reduction="none")
        assert one[0].shape == ()
        assert one[1][0].shape == (6,)
        moved = np.empty((5, 4, 6), dtype).transpose(1, 0, 2)  # leading axes that cannot be merged in place
        given = fl.arcface_loss.value_and_grad(x, centers, target, reduction="none", grad_out=(moved, None))
        assert given[1][0] is moved
        assert same_bits(given, whole)

    def test_empty(self, dtype, rng):
        centers = rng.standard_normal((5, 4)).astype(dtype)
        value, (grad, grad_centers) = fl.arcface_loss.value_and_grad(np.empty((0, 4), dtype), centers, np.empty(0, int))
        assert math.isnan(value)
        assert grad.shape == (0, 4)
        assert grad_centers.shape == (5, 4)
        assert (grad_centers == 0).all()


class TestGE2E:
    def test_needs_two_utterances_and_two_speakers(self, rng):
        with pytest.raises(
            ValueError, match=r"embeddings have shape \(3, 1, 4\): 1 utterances a speaker; expected at least 2"
        ):
            fl.ge2e_loss(np.ones((3, 1, 4)))
        with pytest.raises(ValueError, match=r"shape \(1, 3, 4\): 1 speaker; variant='contrast' needs at least 2"):
            fl.ge2e_loss(np.ones((1, 3, 4)), variant="contrast")
        with pytest.raises(ValueError, match=r"expected \(speakers, utterances, D\)"):
            fl.ge2e_loss(np.ones((3, 4)))
        with pytest.raises(ValueError, match="variant = 'hard' is unknown; expected 'softmax' or 'contrast'"):
            fl.ge2e_loss(np.ones((3, 2, 4)), variant="hard")
        with pytest.raises(ValueError, match="w = inf is out of range; expected a finite number"):
            fl.ge2e_loss(np.ones((3, 2, 4)), w=math.inf)

    @pytest.mark.parametrize("variant", ["softmax", "contrast"])
    def test_derivatives_by_w_and_b(self, variant, rng):
        """They are what the value does, for negative w and 0 too; b does nothing in the softmax variant."""
        x, h = rng.standard_normal((4, 3, 5)), 1e-5
        for w, b in ((10.0, -5.0), (-2.0, 1.0), (0.0, 0.5)):
            _, (_, dw, db) = fl.ge2e_loss.value_and_grad(x, w=w, b=b, variant=variant)
            if w:
                slope = fl.ge2e_loss(x, w=w + h, b=b, variant=variant) - fl.ge2e_loss(x, w=w - h, b=b, variant=variant)
                assert dw == pytest.approx(slope / (2 * h), rel=1e-5, abs=1e-8)
            slope = fl.ge2e_loss(x, w=w, b=b + h, variant=variant) - fl.ge2e_loss(x, w=w, b=b - h, variant=variant)
            assert db == pytest.approx(slope / (2 * h), rel=1e-5, abs=1e-8)
        assert variant == "contrast" or fl.ge2e_loss.value_and_grad(x, b=3.0)[1][2] == 0

    def test_ties_go_to_the_lowest_index(self, dtype, rng):
        """Speakers 1, 3 and 4 are one and the same: only the first of them is pushed away from speaker 0."""
        x = rng.standard_normal((6, 3, 37)).astype(dtype)
        x[0] += 4
        x[1] = x[0] + 0.1 * x[1]
        x[3] = x[4] = x[1]
        weight = np.zeros((6, 3))
        weight[0] = 1
        _, (grad, _, _) = fl.ge2e_loss.value_and_grad(x, variant="contrast", sample_weight=weight, w=3.0, b=-1.0)
        assert [bool(g.any()) for g in grad] == [True, True, False, False, False, False]

    def test_lengths_of_speakers_do_not_matter(self, dtype, rng):
        """Nor do sums overflow: each speaker's may be anywhere in the range of the type."""
        info = np.finfo(dtype)
        x = rng.standard_normal((4, 3, 5)).astype(dtype)
        exponents = np.array([info.maxexp - 4, info.minexp // 2, 0, 7])
        value, (grad, dw, _) = fl.ge2e_loss.value_and_grad(x)
        results = fl.ge2e_loss.value_and_grad(np.ldexp(x, exponents[:, None, None]))
        assert results[0] == pytest.approx(value, rel=1e-6)
        assert results[1][1] == pytest.approx(dw, rel=1e-5)
        wide = np.ldexp(results[1][0].astype(np.longdouble), exponents[:, None, None]).astype(float)
        np.testing.assert_allclose(wide[1:], grad[1:], rtol=1e-4, atol=1e-6)

    def test_one_loud_utterance_does_not_drown_the_others(self, rng):
        """The centroid without it is a sum that never had it, so nothing cancels."""
        x = rng.standard_normal((3, 4, 5))
        x[1, 2] *= 1e15
        case = GE2E
        twin = truth(case, (x,), {}, float, reduction="none")
        value, _ = call(case, (x,), reduction="none")
        assert value[1, 2] == pytest.approx(float(twin.value[1, 2]), rel=1e-12)

    @pytest.mark.parametrize("shape", [(0, 2, 3), (0, 0, 3), (2, 2, 0)])
    def test_empty(self, shape, dtype):
        x = np.empty(shape, dtype)
        for variant in ("softmax", "contrast"):
            value, (grad, dw, db) = fl.ge2e_loss.value_and_grad(x, variant=variant, reduction="sum")
            assert value == pytest.approx(0 if x.shape[0] == 0 else 4 * (math.log(2) if variant == "softmax" else 1))
            assert grad.shape == shape
            assert dw == 0
            assert type(dw) is type(db) is float
