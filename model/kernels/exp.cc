#include "model/kernels/exp.h"

#include <cstdint>

#include "model/kernels/exp_impl.h"

namespace heed {

double NegativeExp(double x) {
  return ExpOf<double, uint64_t>(x);
}

}  // namespace heed
