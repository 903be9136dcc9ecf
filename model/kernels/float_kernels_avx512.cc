#include "model/kernels/vector_avx512.h"

namespace heed {
namespace {

constexpr int kTileVectors = 2;
constexpr int kTileRows = 14;

}  // namespace
}  // namespace heed

#include "model/kernels/float_kernels_impl.h"

namespace heed {

const FloatKernels& Avx512FloatKernels() {
  return kFloatKernels;
}

}  // namespace heed
