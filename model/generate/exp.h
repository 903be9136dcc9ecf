// exp() from additions and multiplications alone. The library's own exp() may differ in the last
// bit from one machine to the next, and a seed must give the same tokens everywhere.
#ifndef HEED_MODEL_GENERATE_EXP_H_
#define HEED_MODEL_GENERATE_EXP_H_

#include "absl/types/span.h"

namespace heed {

// e^x for x <= 0 (minus infinity included), within 2 units in the last place; 0 below -708.
double NegativeExp(double x);

// out[i] = NegativeExp((logits[i] - largest) * scale). `largest` is at least every logit, scale is
// at least 0, and a logit of minus infinity gives 0. The spans are of equal size.
void ExpBelow(absl::Span<const float> logits, double largest, double scale, absl::Span<double> out);

}  // namespace heed

#endif  // HEED_MODEL_GENERATE_EXP_H_
