// exp() from additions and multiplications alone. The library's own exp() may differ in the last
// bit from one machine to the next, and a seed must give the same tokens everywhere.
#ifndef HEED_MODEL_KERNELS_EXP_H_
#define HEED_MODEL_KERNELS_EXP_H_

namespace heed {

// e^x for x <= 0 (minus infinity included), within 2 units in the last place; 0 below -708.
double NegativeExp(double x);

}  // namespace heed

#endif  // HEED_MODEL_KERNELS_EXP_H_
