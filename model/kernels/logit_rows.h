// Passes over a whole row of logits, at the speed of each instruction set; every one gives the same
// bits.
//
// The files that implement a table are compiled with that instruction set's flags. They include
// nothing but headers that hold to this and C headers, so that no inline function of a library is
// emitted with instructions that another machine lacks.
#ifndef HEED_MODEL_KERNELS_LOGIT_ROWS_H_
#define HEED_MODEL_KERNELS_LOGIT_ROWS_H_

#include <stdint.h>

namespace heed {

struct ExpSums {
  double weights;           // of e^(logit - largest)
  double weighted_offsets;  // of e^(logit - largest) * (logit - largest)
};

struct Mass {
  int64_t count;
  uint64_t weight;
};

// Rows have n elements and, but for count_nonfinite, no NaN; `largest` is at least every logit. e^x
// is NegativeExp (exp.h).
struct LogitRows {
  // In kSumParts parts (sum_parts.h). Logits are finite.
  ExpSums (*sum_exp)(const float* logits, int64_t n, double largest);
  // KL(a || b) of two rows' softmaxes, nats, in kSumParts parts: the sum of e^x (x - y), x = a[i] -
  // log_sum_a and y = b[i] - log_sum_b, where the log_sums are at least every logit of their row.
  double (*diverge)(const float* a, double log_sum_a, const float* b, double log_sum_b, int64_t n);
  // out[i] = |e^x - e^y|.
  void (*apart)(const float* a, double log_sum_a, const float* b, double log_sum_b, int64_t n,
                double* out);
  // weights[i] = e^((logits[i] - largest) * scale) * unit, to the nearest integer, halves up. scale
  // is at least 0, unit at most 2^52; a logit of minus infinity gives 0.
  void (*weigh)(const float* logits, int64_t n, double largest, double scale, double unit,
                uint64_t* weights);
  uint64_t (*sum)(const uint64_t* weights, int64_t n);
  // Of those with a logit above `bound`.
  Mass (*mass_above)(const float* logits, const uint64_t* weights, int64_t n, float bound);
  // Weights of logits that are not above `bound` become 0.
  void (*drop_others)(const float* logits, uint64_t* weights, int64_t n, float bound);
  // Writes the indices of the values above `low` and not above `high`, ascending, and returns how
  // many there are.
  int64_t (*find_between)(const float* values, int64_t n, float low, float high, int32_t* found);
  // The first index from `begin` on whose value is above `bound`; n: there is none.
  int64_t (*first_above)(const float* values, int64_t begin, int64_t n, float bound);
  // The index of the largest value, the smallest one among equals. n is at least 1.
  int64_t (*index_of_largest)(const float* values, int64_t n);
  // How many of the values are larger than `bound`.
  int64_t (*count_above)(const float* values, int64_t n, float bound);
  // How many are as large as `bound`.
  int64_t (*count_equal)(const float* values, int64_t n, float bound);
  // How many are a NaN or an infinity.
  int64_t (*count_nonfinite)(const float* values, int64_t n);
};

enum class Isa;  // model/base/cpu.h

const LogitRows& PortableLogitRows();
#if defined(__x86_64__)
const LogitRows& Avx2LogitRows();
const LogitRows& Avx512LogitRows();
#endif
// One of these.
const LogitRows& LogitRowsFor(Isa isa);
// Of the best that the process is held to when it is first asked.
const LogitRows& BestLogitRows();

}  // namespace heed

#endif  // HEED_MODEL_KERNELS_LOGIT_ROWS_H_
