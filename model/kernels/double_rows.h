// Rows of float32 added up in double precision, for what is shown of a run, at the speed of each
// instruction set; every one gives the same bits. What logit_rows.h says of its files holds for
// these.
#ifndef HEED_MODEL_KERNELS_DOUBLE_ROWS_H_
#define HEED_MODEL_KERNELS_DOUBLE_ROWS_H_

#include <stdint.h>

namespace heed {

// Of a row of attention weights.
struct WeightSums {
  double entropy;   // -sum w ln w, nats
  double distance;  // sum w |query - key|
  double largest;
};

// Of a row of attention weights and a pattern.
struct PatternSums {
  double matched;  // sum w d
  double all;      // sum w
  double apart;    // sum |w - d|
};

// Sums are in kSumParts parts (sum_parts.h), but for those of mix and add_mix. Weights are finite
// and at least 0; one that is 0 adds nothing.
struct DoubleRows {
  // out[i] = the sum of weights[r] * rows[r * n + i] over the rows in order, from 0 on.
  // rows [n_rows, n].
  void (*mix)(const float* rows, int64_t n_rows, int64_t n, const double* weights, double* out);
  // sums[i] += weights[r] * rows[r * stride + i] for one row after the other. rows [n_rows,
  // stride], of which the first n columns count.
  void (*add_mix)(const double* rows, int64_t n_rows, int64_t stride, int64_t n,
                  const double* weights, double* sums);
  // sums[i] += x[i].
  void (*add)(const double* x, int64_t n, double* sums);
  // Of x[i]^2.
  double (*sum_squares)(const double* x, int64_t n);
  // Of |y[i] - x[i]|.
  double (*distance)(const float* y, const double* x, int64_t n);
  // weights[i] is that of key i.
  WeightSums (*weigh)(const float* weights, int64_t n, int64_t query);
  // pattern[i] is finite.
  PatternSums (*match)(const float* weights, const float* pattern, int64_t n);
  // Of p ln(p / m) + q ln(q / m), m = (p + q) / 2: twice the Jensen-Shannon divergence, nats.
  double (*diverge)(const float* p, const float* q, int64_t n);
};

enum class Isa;  // model/base/cpu.h

const DoubleRows& PortableDoubleRows();
#if defined(__x86_64__)
const DoubleRows& Avx2DoubleRows();
const DoubleRows& Avx512DoubleRows();
#endif
// One of these.
const DoubleRows& DoubleRowsFor(Isa isa);
// Of the best that the process is held to when it is first asked.
const DoubleRows& BestDoubleRows();

}  // namespace heed

#endif  // HEED_MODEL_KERNELS_DOUBLE_ROWS_H_
