#include "server/compute_plan.h"

#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"

namespace heed {
namespace {

std::string Threads(int n) {
  return absl::StrCat(n, n == 1 ? " thread" : " threads");
}

std::string WhyThreads(const ServerConfig& config, const CpuFacts& machine) {
  if (config.threads == 0) return absl::StrCat("auto: ", machine.Limits());
  return absl::StrCat("--threads=", config.threads, "; ", machine.Limits());
}

std::string WhyInstructions(const ServerConfig& config, const CpuFacts& machine) {
  if (config.isa == "auto") return "auto: the best of this machine";
  return absl::StrCat("--isa=", config.isa, "; this machine has ", machine.Instructions());
}

}  // namespace

absl::StatusOr<ComputePlan> PlanCompute(const ServerConfig& config, const CpuFacts& machine) {
  ComputePlan plan;
  HEED_ASSIGN_OR_RETURN(plan.cpu, HoldTo(config.isa, machine));
  plan.threads = config.threads == 0 ? machine.threads : config.threads;
  plan.reason = absl::StrCat("computing with ", Threads(plan.threads), " (",
                             WhyThreads(config, machine), ") and ", plan.cpu.Instructions(),
                             " kernels (", WhyInstructions(config, machine), ")");
  if (plan.threads > machine.threads) {
    plan.warning = absl::StrCat("--threads=", config.threads, " is more than the ", machine.threads,
                                " that may run at once (", machine.Limits(),
                                "): they will wait for each other");
  }
  return plan;
}

}  // namespace heed
