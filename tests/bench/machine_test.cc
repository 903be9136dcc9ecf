#include "tests/bench/machine.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace heed::bench {
namespace {

using testing::Each;
using testing::Gt;
using testing::SizeIs;

// How fast the machine is, is nobody's promise: only that each repetition measured something.
TEST(MachineTest, MeasuresEachRepetition) {
  for (Arithmetic arithmetic : {Arithmetic::kF32, Arithmetic::kQuantized}) {
    EXPECT_THAT(MeasureMultiplyAdds(arithmetic, 0.0001, 3), testing::AllOf(SizeIs(3), Each(Gt(0))));
  }
  EXPECT_THAT(MeasureReadBandwidth(1 << 16, 0.0001, 3), testing::AllOf(SizeIs(3), Each(Gt(0))));
}

TEST(MachineTest, ReadsEvenTheSmallestBuffer) {
  EXPECT_THAT(MeasureReadBandwidth(0, 0.0001, 1), Each(Gt(0)));
}

TEST(MachineTest, KnowsItsMemory) {
  EXPECT_GT(ResidentBytes(), 100'000);
  EXPECT_GT(AvailableBytes(), ResidentBytes());
}

}  // namespace
}  // namespace heed::bench
