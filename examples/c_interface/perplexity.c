/* A plain C extension module that calls fastloss: the perplexity of rows of logits, with the lock released. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <math.h>
#include <stdlib.h>

#include "fastloss_kernels.h"

/* perplexity(logits, labels): contiguous float32 (rows, classes) and int64 (rows,); a negative label is left out. */
static PyObject *perplexity(PyObject *self, PyObject *args) {
  const fastloss_cross_entropy_options plain = {0.0, 1.0, 0.0, 0.0, NULL};
  PyObject *logits_object, *labels_object, *result = NULL;
  Py_buffer logits, labels;
  (void)self;
  if (!PyArg_ParseTuple(args, "OO", &logits_object, &labels_object)) return NULL;
  if (PyObject_GetBuffer(logits_object, &logits, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)) return NULL;
  if (PyObject_GetBuffer(labels_object, &labels, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)) goto no_labels;
  if (logits.ndim != 2 || logits.format[0] != 'f' || labels.ndim != 1 || labels.itemsize != 8 ||
      labels.shape[0] != logits.shape[0]) {
    PyErr_SetString(PyExc_ValueError, "expected float32 logits (rows, classes) and int64 labels (rows,)");
    goto done;
  }
  ptrdiff_t rows = logits.shape[0], classes = logits.shape[1], got, counted = 0;
  const int64_t *label = labels.buf;
  double sum = 0.0, *value = malloc((size_t)(rows ? rows : 1) * sizeof *value);
  if (!value) {
    PyErr_NoMemory();
    goto done;
  }
  Py_BEGIN_ALLOW_THREADS
  got = fastloss_cross_entropy_f32(&plain, rows, classes, logits.buf, label, NULL, value, NULL, NULL);
  for (ptrdiff_t i = 0; i < rows && got == rows; i++) {
    sum += value[i];
    counted += label[i] >= 0;
  }
  Py_END_ALLOW_THREADS
  free(value);
  if (got < 0) PyErr_NoMemory();
  else if (got < rows) PyErr_Format(PyExc_ValueError, "labels[%zd] is not below %zd", got, classes);
  else result = PyFloat_FromDouble(exp(sum / (double)counted));
done:
  PyBuffer_Release(&labels);
no_labels:
  PyBuffer_Release(&logits);
  return result;
}

static PyMethodDef methods[] = {{"perplexity", perplexity, METH_VARARGS, "perplexity(logits, labels)"}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "perplexity", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_perplexity(void) {
  if (fastloss_import()) return NULL;
  return PyModule_Create(&module);
}
