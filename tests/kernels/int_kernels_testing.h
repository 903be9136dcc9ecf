// The integer kernels of this machine, for their tests and for those of the layers made of them.
#ifndef HEED_TESTS_KERNELS_INT_KERNELS_TESTING_H_
#define HEED_TESTS_KERNELS_INT_KERNELS_TESTING_H_

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "model/base/cpu.h"
#include "model/kernels/bf16_kernels.h"
#include "model/kernels/int_kernels.h"
#include "model/kernels/int_kernels_spread.h"

namespace heed {

struct NamedKernels {
  std::string name;
  const IntKernels* kernels;
};

// The portable kernels with the portable twin of tiles.
inline const IntKernels& PortableTiles() {
  static const IntKernels kernels = [] {
    IntKernels all = PortableIntKernels();
    all.bf16 = &PortableBf16Kernels();
    return all;
  }();
  return kernels;
}

inline std::vector<NamedKernels> KernelsOfThisMachine() {
  std::vector<NamedKernels> all = {{"portable", &PortableIntKernels()},
                                   {"portable tiles", &PortableTiles()}};
#if defined(__x86_64__)
  const CpuFacts facts = DetectCpu();
  if (facts.isa >= Isa::kAvx2) all.push_back({"avx2", &Avx2IntKernels()});
  if (facts.avx_vnni) all.push_back({"avx vnni", &AvxVnniIntKernels()});
  if (facts.avx512_vnni) all.push_back({"vnni", &VnniIntKernels()});
  if (facts.amx) all.push_back({"amx", &AmxIntKernels()});
#endif
  return all;
}

// What IntKernels::spread made x of.
inline void Gather(absl::Span<float> x) {
  for (size_t i = 0; i + kSpreadGroup <= x.size(); i += kSpreadGroup) GatherGroup(&x[i]);
}

}  // namespace heed

#endif  // HEED_TESTS_KERNELS_INT_KERNELS_TESTING_H_
