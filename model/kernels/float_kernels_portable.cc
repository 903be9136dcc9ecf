#include "model/kernels/vector_compiler.h"

namespace heed {
namespace {

constexpr int kTileVectors = 1;
constexpr int kTileRows = 1;

}  // namespace
}  // namespace heed

#include "model/kernels/float_kernels_impl.h"

namespace heed {

const FloatKernels& PortableFloatKernels() {
  return kFloatKernels;
}

}  // namespace heed
