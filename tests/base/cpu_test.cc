#include "model/base/cpu.h"

#include <sched.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace heed {
namespace {

namespace fs = std::filesystem;

using ::testing::Eq;
using ::testing::Optional;

TEST(ParseCpuMaxTest, DividesQuotaByPeriod) {
  EXPECT_THAT(ParseCpuMax("150000 100000\n"), Optional(1.5));
  EXPECT_THAT(ParseCpuMax("200000 100000"), Optional(2.0));
  EXPECT_THAT(ParseCpuMax("1000 1000000\n"), Optional(0.001));
}

TEST(ParseCpuMaxTest, UnlimitedAndMalformedAreAbsent) {
  for (const char* text :
       {"max 100000\n", "max", "", "\n", "1", "100000 0", "0 100000", "-1 100000", "100000 -5",
        "1 2 3", "a b", "1e5 100000", "99999999999999999999 1"}) {
    EXPECT_THAT(ParseCpuMax(text), Eq(std::nullopt)) << text;
  }
}

TEST(ParseCfsQuotaTest, DividesQuotaByPeriod) {
  EXPECT_THAT(ParseCfsQuota("250000\n", "100000\n"), Optional(2.5));
}

TEST(ParseCfsQuotaTest, UnlimitedAndMalformedAreAbsent) {
  EXPECT_THAT(ParseCfsQuota("-1\n", "100000\n"), Eq(std::nullopt));
  EXPECT_THAT(ParseCfsQuota("100000", "0"), Eq(std::nullopt));
  EXPECT_THAT(ParseCfsQuota("", ""), Eq(std::nullopt));
  EXPECT_THAT(ParseCfsQuota("x", "100000"), Eq(std::nullopt));
}

TEST(DecideThreadsTest, TakesTheSmallerAndRoundsUp) {
  EXPECT_EQ(DecideThreads(8, std::nullopt), 8);
  EXPECT_EQ(DecideThreads(8, 1.5), 2);
  EXPECT_EQ(DecideThreads(8, 2.0), 2);
  EXPECT_EQ(DecideThreads(2, 64.0), 2);
  EXPECT_EQ(DecideThreads(8, 0.001), 1);
  EXPECT_EQ(DecideThreads(0, std::nullopt), 1);
  EXPECT_EQ(DecideThreads(8, 1e300), 8);
}

// A made-up /proc and /sys.
class DetectQuotaTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ =
        absl::StrCat(testing::TempDir(), "/cpu_test_",
                     testing::UnitTest::GetInstance()->current_test_info()->name(), "_", getpid());
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  void TearDown() override { fs::remove_all(root_); }

  std::optional<double> QuotaWith(const std::map<std::string, std::string>& files) {
    for (const auto& [path, text] : files) {
      const fs::path file = root_ + "/" + path;
      fs::create_directories(file.parent_path());
      std::ofstream(file, std::ios::binary) << text;
    }
    return DetectQuota(root_);
  }

  std::string root_;
};

TEST_F(DetectQuotaTest, NothingReadableIsUnlimited) {
  EXPECT_THAT(QuotaWith({}), Eq(std::nullopt));
}

TEST_F(DetectQuotaTest, ReadsOwnGroupOfVersion2) {
  EXPECT_THAT(QuotaWith({{"proc/self/cgroup", "0::/a/b\n"},
                         {"sys/fs/cgroup/a/b/cpu.max", "150000 100000\n"}}),
              Optional(1.5));
}

TEST_F(DetectQuotaTest, ParentMayBeTighter) {
  EXPECT_THAT(QuotaWith({{"proc/self/cgroup", "0::/a/b\n"},
                         {"sys/fs/cgroup/a/cpu.max", "50000 100000\n"},
                         {"sys/fs/cgroup/a/b/cpu.max", "400000 100000\n"}}),
              Optional(0.5));
}

TEST_F(DetectQuotaTest, UnlimitedGroupInheritsItsParents) {
  EXPECT_THAT(QuotaWith({{"proc/self/cgroup", "0::/a/b\n"},
                         {"sys/fs/cgroup/a/cpu.max", "300000 100000\n"},
                         {"sys/fs/cgroup/a/b/cpu.max", "max 100000\n"}}),
              Optional(3.0));
}

TEST_F(DetectQuotaTest, ContainerSeesItsGroupAsTheMountPoint) {
  EXPECT_THAT(QuotaWith({{"proc/self/cgroup", "0::/docker/0123\n"},
                         {"sys/fs/cgroup/cpu.max", "200000 100000\n"}}),
              Optional(2.0));
  EXPECT_THAT(QuotaWith({{"proc/self/cgroup", "0::/\n"}}), Optional(2.0));
}

TEST_F(DetectQuotaTest, PathOutsideTheNamespaceIsNotFollowed) {
  EXPECT_THAT(QuotaWith({{"proc/self/cgroup", "0::/../x\n"},
                         {"sys/fs/x/cpu.max", "100000 100000\n"},
                         {"sys/fs/cgroup/cpu.max", "700000 100000\n"}}),
              Optional(7.0));
}

TEST_F(DetectQuotaTest, ReadsVersion1) {
  EXPECT_THAT(QuotaWith({{"proc/self/cgroup", "5:memory:/m\n4:cpu,cpuacct:/a\n1:name=systemd:/\n"},
                         {"sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "125000\n"},
                         {"sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "50000\n"},
                         {"sys/fs/cgroup/memory/m/cpu.cfs_quota_us", "1\n"},
                         {"sys/fs/cgroup/memory/m/cpu.cfs_period_us", "50000\n"}}),
              Optional(2.5));
}

TEST_F(DetectQuotaTest, Version1ContainerSeesItsGroupAsTheMountPoint) {
  EXPECT_THAT(QuotaWith({{"proc/self/cgroup", "4:cpuacct,cpu:/docker/0123\n"},
                         {"sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"},
                         {"sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"}}),
              Eq(std::nullopt));
  EXPECT_THAT(QuotaWith({{"sys/fs/cgroup/cpu/cpu.cfs_quota_us", "300000\n"}}), Optional(3.0));
}

TEST_F(DetectQuotaTest, HybridTakesTheSmaller) {
  EXPECT_THAT(QuotaWith({{"proc/self/cgroup", "4:cpu:/a\n0::/b\n"},
                         {"sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "300000\n"},
                         {"sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n"},
                         {"sys/fs/cgroup/unified/b/cpu.max", "200000 100000\n"}}),
              Optional(2.0));
}

TEST_F(DetectQuotaTest, MalformedFilesAreUnlimited) {
  EXPECT_THAT(QuotaWith({{"proc/self/cgroup", "\n:\n::\nx\n0:\n0::/a\n4:cpu\n"},
                         {"sys/fs/cgroup/a/cpu.max", "lots\n"}}),
              Eq(std::nullopt));
}

TEST(DetectCpuTest, IsConsistent) {
  const CpuFacts facts = DetectCpu();
  EXPECT_GE(facts.threads, 1);
  EXPECT_LE(facts.threads, facts.affinity_cpus);
  EXPECT_GE(facts.online_cpus, 1);
  EXPECT_EQ(facts.threads, DecideThreads(facts.affinity_cpus, facts.quota_cpus));
  EXPECT_TRUE(!facts.avx_vnni || facts.isa != Isa::kPortable);
  EXPECT_TRUE(!facts.avx512_vnni || facts.isa == Isa::kAvx512);
}

#if defined(__x86_64__)
// What Linux lists of this machine, whether or not the process may use it.
std::set<std::string> ListedFlags() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!absl::StartsWith(line, "flags")) continue;
    return absl::StrSplit(line.substr(line.find(':') + 1), ' ', absl::SkipEmpty());
  }
  return {};
}

TEST(DetectCpuTest, FindsTheDotProductsThatLinuxLists) {
  const CpuFacts facts = DetectCpu();
  const std::set<std::string> flags = ListedFlags();
  EXPECT_EQ(facts.avx_vnni, facts.isa != Isa::kPortable && flags.contains("avx_vnni"));
  EXPECT_EQ(facts.avx512_vnni, facts.isa == Isa::kAvx512 && flags.contains("avx512_vnni"));
}
#endif

// A cgroup's cpuset narrows the affinity as this does.
TEST(DetectCpuTest, CountsTheCpusOfTheAffinity) {
  CpuFacts facts;
  std::thread([&] {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(sched_getcpu(), &set);
    ASSERT_EQ(sched_setaffinity(0, sizeof(set), &set), 0);
    facts = DetectCpu();
  }).join();
  EXPECT_EQ(facts.affinity_cpus, 1);
  EXPECT_EQ(facts.threads, 1);
}

CpuFacts Machine(Isa isa, bool vnni = false, bool amx = false) {
  return {.isa = isa, .avx_vnni = vnni, .avx512_vnni = vnni && isa == Isa::kAvx512, .amx = amx};
}

TEST(HoldToTest, LeavesWhatIsNamed) {
  const CpuFacts best = Machine(Isa::kAvx512, true, true);
  EXPECT_EQ(HoldTo("auto", best)->Instructions(), "AVX-512 VNNI AMX");
  EXPECT_EQ(HoldTo("amx", best)->Instructions(), "AVX-512 VNNI AMX");
  EXPECT_EQ(HoldTo("avx512", best)->Instructions(), "AVX-512 VNNI");
  EXPECT_EQ(HoldTo("avxvnni", best)->Instructions(), "AVX2 VNNI");
  EXPECT_EQ(HoldTo("avx2", best)->Instructions(), "AVX2");
  EXPECT_EQ(HoldTo("portable", best)->Instructions(), "portable");
  EXPECT_EQ(HoldTo("avx512", Machine(Isa::kAvx512))->Instructions(), "AVX-512");
  EXPECT_EQ(HoldTo("auto", Machine(Isa::kAvx2))->Instructions(), "AVX2");
  EXPECT_EQ(HoldTo("auto", Machine(Isa::kAvx2, true))->Instructions(), "AVX2 VNNI");
}

TEST(HoldToTest, RefusesWhatTheMachineLacks) {
  const struct {
    const char* name;
    CpuFacts machine;
    const char* says;
  } cases[] = {
      {"amx", Machine(Isa::kAvx512, true), "this machine has no AMX, only AVX-512 VNNI;"},
      {"amx", Machine(Isa::kPortable), "no AMX, only portable;"},
      {"avx512", Machine(Isa::kAvx2), "no AVX-512, only AVX2;"},
      {"avxvnni", Machine(Isa::kAvx2), "no AVX-VNNI, only AVX2;"},
      {"avxvnni", Machine(Isa::kPortable), "no AVX-VNNI, only portable;"},
      {"avx2", Machine(Isa::kPortable), "no AVX2, only portable;"},
  };
  for (const auto& c : cases) {
    const absl::Status status = HoldTo(c.name, c.machine).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << c.name;
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr(c.says));
  }
  for (const char* name : {"", "AVX2", "sse9", "vnni"}) {
    EXPECT_EQ(HoldTo(name, Machine(Isa::kAvx512, true, true)).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST(HoldToTest, TheProcessKnowsNoBetterOnes) {
  ASSERT_TRUE(HoldProcessTo("portable").ok());
  EXPECT_EQ(DetectCpu().Instructions(), "portable");
  EXPECT_EQ(HoldProcessTo("sse9").code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(HoldProcessTo("auto").ok());
}

TEST(CpuFactsTest, PrintsOneLine) {
  CpuFacts facts{.online_cpus = 2,
                 .affinity_cpus = 2,
                 .quota_cpus = 1.5,
                 .threads = 2,
                 .isa = Isa::kAvx512,
                 .avx512_vnni = true,
                 .amx = true};
  EXPECT_EQ(facts.ToString(), "2 threads (affinity 2 of 2 CPUs, quota 1.5), AVX-512 VNNI AMX");
  facts = CpuFacts();
  EXPECT_EQ(facts.ToString(), "1 thread (affinity 1 of 1 CPU, no quota), portable");
  facts.isa = Isa::kAvx2;
  EXPECT_EQ(facts.ToString(), "1 thread (affinity 1 of 1 CPU, no quota), AVX2");
}

}  // namespace
}  // namespace heed
