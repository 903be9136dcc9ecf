#include "server/compute_plan.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace heed {
namespace {

using testing::HasSubstr;

const CpuFacts kMachine{.online_cpus = 8,
                        .affinity_cpus = 4,
                        .quota_cpus = 1.5,
                        .threads = 2,
                        .isa = Isa::kAvx512,
                        .avx512_vnni = true,
                        .amx = true};

TEST(ComputePlanTest, LeftToItselfTakesAllThatItMayAndSaysWhatThatFollowsFrom) {
  const auto plan = PlanCompute({}, kMachine);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->threads, 2);
  EXPECT_EQ(plan->reason,
            "computing with 2 threads (auto: affinity 4 of 8 CPUs, quota 1.5) and AVX-512 VNNI AMX "
            "kernels (auto: the best of this machine)");
  EXPECT_EQ(plan->warning, "");
}

TEST(ComputePlanTest, IsHeldToWhatIsNamed) {
  ServerConfig config;
  config.threads = 1;
  config.isa = "avx2";
  const auto plan = PlanCompute(config, kMachine);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->threads, 1);
  EXPECT_EQ(plan->cpu.Instructions(), "AVX2");
  EXPECT_EQ(plan->reason,
            "computing with 1 thread (--threads=1; affinity 4 of 8 CPUs, quota 1.5) and AVX2 "
            "kernels (--isa=avx2; this machine has AVX-512 VNNI AMX)");
  EXPECT_EQ(plan->warning, "");
}

TEST(ComputePlanTest, MoreThreadsThanMayRunAreTakenWithAWarning) {
  ServerConfig config;
  config.threads = 3;
  const auto plan = PlanCompute(config, kMachine);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->threads, 3);
  EXPECT_THAT(
      plan->warning,
      HasSubstr("--threads=3 is more than the 2 that may run at once (affinity 4 of 8 CPUs, "
                "quota 1.5)"));
}

TEST(ComputePlanTest, InstructionsThatTheMachineLacksAreRefused) {
  ServerConfig config;
  config.isa = "amx";
  CpuFacts machine = kMachine;
  machine.amx = false;
  const auto plan = PlanCompute(config, machine);
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(plan.status().message(), HasSubstr("this machine has no AMX, only AVX-512 VNNI;"));
}

}  // namespace
}  // namespace heed
