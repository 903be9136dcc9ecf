// Tests of passes that every instruction set has, of those that this machine has.
#ifndef HEED_TESTS_KERNELS_ISA_TESTING_H_
#define HEED_TESTS_KERNELS_ISA_TESTING_H_

#include <string>

#include "gtest/gtest.h"
#include "model/base/cpu.h"

namespace heed {

class IsaTest : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    if (GetParam() > DetectCpu().isa) GTEST_SKIP() << "not on this machine";
  }
};

inline auto AllIsas() {
  return testing::Values(Isa::kPortable, Isa::kAvx2, Isa::kAvx512);
}

inline std::string IsaTestName(const testing::TestParamInfo<Isa>& info) {
  const std::string name(IsaName(info.param));
  return name == "AVX-512" ? "AVX512" : name;
}

}  // namespace heed

#endif  // HEED_TESTS_KERNELS_ISA_TESTING_H_
