#include "model/kernels/vector_avx2.h"

namespace heed {
namespace {

constexpr int kTileVectors = 1;
constexpr int kTileRows = 6;

}  // namespace
}  // namespace heed

#include "model/kernels/float_kernels_impl.h"

namespace heed {

const FloatKernels& Avx2FloatKernels() {
  return kFloatKernels;
}

}  // namespace heed
