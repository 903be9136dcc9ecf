#include "model/kernels/team.h"

#include <omp.h>

#include <atomic>
#include <chrono>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/kernels/parallel.h"

namespace heed {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::UnorderedElementsAreArray;

// Where threads wait until `count` of them have come; not for ever.
class Meeting {
 public:
  explicit Meeting(int64_t count) : count_(count) {}

  void Come() {
    ++present_;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (present_ < count_ && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    EXPECT_GE(present_, count_);
  }

 private:
  const int64_t count_;
  std::atomic<int64_t> present_ = 0;
};

// A team whose helpers are threads of its own.
class Helpers {
 public:
  Helpers(Team* team, int count) : team_(*team) {
    for (int i = 1; i <= count; ++i) threads_.emplace_back([this, i] { team_.Help(i); });
  }
  ~Helpers() {
    team_.Dismiss();
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  Team& team_;
  std::vector<std::thread> threads_;
};

class TeamTest : public ::testing::TestWithParam<int> {
 protected:
  Team team_{GetParam() + 1};
  Helpers helpers_{&team_, GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Helpers, TeamTest, ::testing::Values(0, 1, 2, 7));

TEST_P(TeamTest, DoesEachItemOfEachPieceOfWorkOnce) {
  for (int64_t round = 0; round < 2000; ++round) {
    std::vector<int64_t> done(round % 37);  // plain memory: each item is one thread's
    team_.Run(static_cast<int64_t>(done.size()), [&](int64_t i) { done[i] += round; });
    ASSERT_THAT(done, Each(round));
  }
}

TEST_P(TeamTest, WakesHelpersThatSleep) {
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    Meeting meeting(GetParam() + 1);
    team_.Run(GetParam() + 1, [&](int64_t) { meeting.Come(); });
  }
}

TEST_P(TeamTest, TheOwnerWaitsForHelpersThatTakeLong) {
  const std::thread::id owner = std::this_thread::get_id();
  Meeting meeting(GetParam() + 1);
  std::atomic<int> done = 0;
  team_.Run(GetParam() + 1, [&](int64_t) {
    meeting.Come();
    if (std::this_thread::get_id() == owner) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    ++done;
  });
  EXPECT_EQ(done, GetParam());
}

TEST_P(TeamTest, ThrowsWhatAnItemThrowsAndGoesOn) {
  for (int round = 0; round < 50; ++round) {
    try {
      team_.Run(20, [](int64_t i) {
        if (i == 7) throw std::runtime_error("the seventh");
      });
      FAIL() << "nothing was thrown";
    } catch (const std::runtime_error& error) {
      EXPECT_EQ(error.what(), std::string("the seventh"));
    }
    std::atomic<int> done = 0;
    team_.Run(20, [&](int64_t) { ++done; });
    EXPECT_EQ(done, 20);
  }
}

TEST(LoneTeamTest, TheOwnerDoesTheSharesOfHelpersThatNeverCome) {
  Team team(3);
  std::vector<int64_t> order;
  team.Run(8, [&](int64_t i) { order.push_back(i); });
  EXPECT_THAT(order, ElementsAre(0, 1, 4, 3, 2, 7, 6, 5));
}

TEST(LoneTeamTest, AHelperThatComesLateTakesWhatIsLeft) {
  Team team(2);
  Meeting meeting(2);
  std::vector<std::thread::id> by(8);
  std::optional<Helpers> helpers;
  team.Run(8, [&](int64_t i) {
    by[i] = std::this_thread::get_id();
    if (i == 1) helpers.emplace(&team, 1);  // in the owner's share, of 4
    if (i == 2 || i == 4) meeting.Come();
  });
  EXPECT_THAT(absl::MakeSpan(by).first(3), Each(std::this_thread::get_id()));
  EXPECT_NE(by[4], std::this_thread::get_id());
}

// The indices of all threads of the calling thread's team, at work at the same time.
std::vector<int64_t> ThreadsAtWork() {
  std::vector<int64_t> indices(MaxThreads());
  Meeting meeting(MaxThreads());
  ParallelFor(MaxThreads(), true, [&](int64_t i) {
    meeting.Come();
    indices[i] = ThreadIndex();
  });
  return indices;
}

std::vector<int64_t> UpTo(int64_t n) {
  std::vector<int64_t> numbers(n);
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

// With as many threads as the calling thread's team may have.
class ParallelTest : public ::testing::TestWithParam<int> {
 protected:
  ParallelTest() { omp_set_num_threads(GetParam()); }
  ~ParallelTest() override { omp_set_num_threads(before_); }

 private:
  const int before_ = omp_get_max_threads();
};

INSTANTIATE_TEST_SUITE_P(Threads, ParallelTest, ::testing::Values(1, 2, 5));

TEST_P(ParallelTest, EveryItemIsDoneOnce) {
  std::vector<int> done(100);
  const auto add = [&](int64_t i) { ++done[i]; };
  ParallelFor(100, true, add);
  ParallelFor(100, false, add);
  EXPECT_THAT(done, Each(2));
}

TEST_P(ParallelTest, BlocksCoverEverythingOnce) {
  for (int64_t n : {0, 1, 5, 64, 1000}) {
    for (int64_t grain : {0, 1, 7, 2000}) {
      std::vector<int> done(n);
      ParallelBlocks(n, grain, [&](int64_t begin, int64_t end) {
        EXPECT_TRUE(end - begin >= grain || (begin == 0 && end == n)) << begin << " " << end;
        for (int64_t i = begin; i < end; ++i) ++done[i];
      });
      EXPECT_THAT(done, Each(1)) << n << " by " << grain;
    }
  }
}

TEST_P(ParallelTest, WorkOfAnItemStaysOnItsThread) {
  std::atomic<int> elsewhere = 0;
  Meeting meeting(GetParam());
  ParallelFor(GetParam(), true, [&](int64_t) {
    meeting.Come();
    const std::thread::id here = std::this_thread::get_id();
    EXPECT_EQ(MaxThreads(), GetParam());
    ParallelFor(20, true, [&](int64_t) { elsewhere += std::this_thread::get_id() != here; });
  });
  EXPECT_EQ(elsewhere, 0);
}

TEST_P(ParallelTest, ThreadsOfATeamAreToldApart) {
  for (int round = 0; round < 20; ++round) {
    EXPECT_THAT(ThreadsAtWork(), UnorderedElementsAreArray(UpTo(GetParam())));
  }
}

TEST_P(ParallelTest, TheTeamGrowsAndShrinks) {
  for (int threads : {3, 1, 4, 2}) {
    omp_set_num_threads(threads);
    EXPECT_THAT(ThreadsAtWork(), UnorderedElementsAreArray(UpTo(threads)));
  }
}

TEST_P(ParallelTest, ThreadsHaveTeamsOfTheirOwn) {
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] {
      omp_set_num_threads(GetParam());
      for (int round = 0; round < 20; ++round) {
        EXPECT_THAT(ThreadsAtWork(), UnorderedElementsAreArray(UpTo(GetParam())));
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
}

TEST_P(ParallelTest, WhatIsThrownComesThrough) {
  EXPECT_THROW(ParallelFor(10, true,
                           [](int64_t i) {
                             if (i == 3) throw std::runtime_error("the third");
                           }),
               std::runtime_error);
  std::atomic<int> done = 0;
  ParallelFor(10, true, [&](int64_t) { ++done; });
  EXPECT_EQ(done, 10);
}

}  // namespace
}  // namespace heed
