#include "server/engine/trace_store.h"

#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/base/error.h"
#include "model/kernels/parallel.h"
#include "server/engine/registry.h"
#include "server/engine/worker_pool.h"

namespace heed {

// The store only keeps it.
struct TracedRun {
  explicit TracedRun(std::atomic<int>* alive) : alive(alive) { ++*alive; }
  ~TracedRun() { --*alive; }
  std::atomic<int>* alive;
};

namespace {

using testing::HasSubstr;

class TraceStoreTest : public testing::Test {
 protected:
  TraceStoreTest() {
    options_.max_bytes = 100;
    options_.max_client_bytes = 60;
    options_.max_ttl = absl::Seconds(100);
    options_.idle_time = absl::Seconds(30);
    options_.now = [this] { return now_; };
    store_ = std::make_unique<TraceStore>(options_);
  }

  absl::StatusOr<std::string> Open(const std::string& client, int64_t bytes,
                                   absl::Duration ttl = absl::Seconds(100)) {
    auto reservation = store_->Reserve(client, bytes);
    if (!reservation.ok()) return reservation.status();
    return store_
        ->Keep(*std::move(reservation), std::make_shared<TracedRun>(&alive_), model_, bytes, ttl)
        .id;
  }

  std::string MustOpen(const std::string& client, int64_t bytes) {
    return Open(client, bytes).value_or("");
  }

  bool Has(const std::string& id) {
    const auto found = store_->Find(id);
    if (!found.ok()) {
      EXPECT_EQ(GetErrorDetails(found.status()).reason, "TRACE_NOT_FOUND");
    }
    return found.ok();
  }

  absl::Time now_ = absl::FromUnixSeconds(1000);
  TraceStoreOptions options_;
  std::atomic<int> alive_{0};
  std::shared_ptr<ServedModel> model_ = std::make_shared<ServedModel>();
  std::unique_ptr<TraceStore> store_;
};

TEST_F(TraceStoreTest, FindsWhatWasKeptUntilItIsClosed) {
  const std::string id = MustOpen("a", 40);
  EXPECT_EQ(id.size(), 32u);
  const auto found = store_->Find(id);
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->model, model_);
  EXPECT_EQ(store_->used_bytes(), 40);
  EXPECT_EQ(store_->Close(id).value_or(-1), 40);
  EXPECT_FALSE(Has(id));
  EXPECT_EQ(store_->Close(id).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(TraceStoreTest, WhatIsReadCountsUntilItsLastReaderLetsGo) {
  const std::string closed = MustOpen("a", 30);
  const std::string expired = *Open("a", 20, absl::Seconds(10));
  auto reader = store_->Find(closed);
  auto other = reader;
  auto late = store_->Find(expired);
  EXPECT_EQ(store_->Close(closed).value_or(-1), 30);
  now_ += absl::Seconds(60);
  EXPECT_FALSE(Has(expired));
  EXPECT_EQ(store_->size(), 0);
  EXPECT_EQ(store_->used_bytes(), 50);
  EXPECT_EQ(alive_, 2);
  EXPECT_THAT(std::string(Open("a", 20).status().message()),
              HasSubstr("your traces hold 50 of 60"));
  reader = absl::CancelledError("");
  EXPECT_EQ(store_->used_bytes(), 50);
  other->run.reset();
  EXPECT_EQ(store_->used_bytes(), 20);
  EXPECT_EQ(alive_, 1);
  late->run.reset();
  EXPECT_EQ(store_->used_bytes(), 0);
  EXPECT_EQ(alive_, 0);
  EXPECT_TRUE(Open("a", 60).ok());
}

TEST_F(TraceStoreTest, WhatIsReadDoesNotGiveWay) {
  const std::string read = MustOpen("a", 30);
  const std::string idle = MustOpen("a", 30);
  auto reader = store_->Find(read);
  now_ += absl::Seconds(60);
  EXPECT_FALSE(Open("a", 40).ok());
  EXPECT_TRUE(Open("a", 20).ok());
  EXPECT_FALSE(Has(idle));
  reader->run.reset();
  EXPECT_TRUE(Open("a", 40).ok());
  EXPECT_FALSE(Has(read));
}

TEST_F(TraceStoreTest, ReadersOfClosedTracesMayBeAnywhere) {
  constexpr int kTraces = 200;
  std::vector<std::thread> readers;
  for (int i = 0; i < 4; ++i) {
    readers.emplace_back([&, i] {
      for (int trace = 0; trace < kTraces; ++trace) {
        const auto id = Open("client " + std::to_string(i), 25);
        ASSERT_TRUE(id.ok()) << id.status();
        auto found = store_->Find(*id);
        std::thread reader([run = std::move(found->run)]() mutable { run.reset(); });
        EXPECT_TRUE(store_->Close(*id).ok());
        reader.join();
      }
    });
  }
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(store_->used_bytes(), 0);
  EXPECT_EQ(alive_, 0);
}

TEST_F(TraceStoreTest, IdsAreAllDifferent) {
  std::set<std::string> ids;
  for (int i = 0; i < 50; ++i) ids.insert(MustOpen("a", 1));
  EXPECT_EQ(ids.size(), 50u);
}

TEST_F(TraceStoreTest, ExpiresUnlessRenewed) {
  const std::string first = *Open("a", 10, absl::Seconds(10));
  const std::string second = *Open("a", 10, absl::Hours(10));
  now_ += absl::Seconds(9);
  EXPECT_EQ(store_->Renew(first, absl::Seconds(10))->expires, now_ + absl::Seconds(10));
  now_ += absl::Seconds(9);
  EXPECT_TRUE(Has(first));
  now_ += absl::Seconds(1);
  EXPECT_FALSE(Has(first));  // at its expiry, not after
  EXPECT_TRUE(Has(second));
  now_ += absl::Seconds(81);  // max_ttl bounds what was asked for
  EXPECT_FALSE(Has(second));
  EXPECT_EQ(store_->used_bytes(), 0);
  EXPECT_EQ(alive_, 0);
}

TEST_F(TraceStoreTest, AClientsQuotaIsItsOwn) {
  const std::string first = MustOpen("a", 40);
  const auto refused = Open("a", 30);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(GetErrorDetails(refused.status()).reason, "TRACE_QUOTA");
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("your traces hold 40 of 60"));
  EXPECT_TRUE(Open("b", 30).ok());
  EXPECT_TRUE(Open("b", 30).ok());
  EXPECT_THAT(std::string(Open("c", 1).status().message()),
              HasSubstr("all clients' traces hold 100 of 100"));
  EXPECT_TRUE(Has(first));
}

TEST_F(TraceStoreTest, MoreThanTheQuotaIsRefusedAndDropsNothing) {
  const std::string id = MustOpen("a", 10);
  now_ += absl::Seconds(60);
  const absl::Status refused = Open("a", 61).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(refused.message(),
            "this would hold 61 bytes, more than the 60 that your traces may; shorten the prompt");
  EXPECT_TRUE(Has(id));
}

TEST_F(TraceStoreTest, IdleTracesGiveWayLeastRecentlyUsedFirst) {
  const std::string first = MustOpen("a", 20);
  const std::string second = MustOpen("a", 20);
  const std::string third = MustOpen("a", 20);
  now_ += absl::Seconds(29);
  EXPECT_FALSE(Open("a", 20).ok());  // none is idle yet
  EXPECT_TRUE(Has(first));
  now_ += absl::Seconds(1);
  const std::string fourth = MustOpen("a", 20);
  EXPECT_FALSE(Has(second));
  EXPECT_TRUE(Has(first));
  EXPECT_TRUE(Has(third));
  now_ += absl::Seconds(31);  // all are idle, and `fourth` was used before `first`
  EXPECT_FALSE(Open("a", 61).ok());
  const std::string fifth = MustOpen("a", 20);
  EXPECT_FALSE(Has(fourth));
  EXPECT_TRUE(Has(first));
  now_ += absl::Seconds(30);
  EXPECT_TRUE(Has(fifth));
  EXPECT_FALSE(Open("a", 60).ok());  // `fifth` was used just now
}

TEST_F(TraceStoreTest, OthersTracesDoNotGiveWayToAClientOverItsOwnQuota) {
  const std::string others = MustOpen("b", 30);
  now_ += absl::Seconds(60);
  MustOpen("a", 60);
  EXPECT_FALSE(Open("a", 20).ok());
  EXPECT_TRUE(Has(others));
}

TEST_F(TraceStoreTest, OthersIdleTracesGiveWayWhenTheServerIsFull) {
  const std::string own = MustOpen("a", 10);
  const std::string others = MustOpen("b", 60);
  now_ += absl::Seconds(60);
  EXPECT_TRUE(Open("c", 60).ok());
  EXPECT_FALSE(Has(others) && Has(own));
  EXPECT_LE(store_->used_bytes(), 100);
}

TEST_F(TraceStoreTest, NothingGivesWayToWhatWouldNotFitEvenSo) {
  const std::string own = MustOpen("a", 20);
  const std::string others = MustOpen("b", 20);
  now_ += absl::Seconds(60);
  MustOpen("c", 60);
  EXPECT_EQ(Open("a", 50).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(Has(own));
  EXPECT_TRUE(Has(others));
  EXPECT_TRUE(store_->Close(others).ok());
  now_ += absl::Seconds(30);
  MustOpen("a", 10);
  EXPECT_EQ(Open("a", 60).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(Has(own));
}

TEST_F(TraceStoreTest, DiesWithItsModel) {
  const std::string id = MustOpen("a", 40);
  model_.reset();
  EXPECT_FALSE(Has(id));
  EXPECT_EQ(store_->used_bytes(), 0);
  EXPECT_EQ(alive_, 0);
}

TEST_F(TraceStoreTest, AReservationThatWasNotKeptIsGivenBack) {
  {
    const auto reservation = store_->Reserve("a", 60);
    ASSERT_TRUE(reservation.ok());
    EXPECT_EQ(store_->used_bytes(), 60);
    EXPECT_FALSE(store_->Reserve("a", 1).ok());
  }
  EXPECT_EQ(store_->used_bytes(), 0);
  // What the run did not need is given back too.
  auto reservation = store_->Reserve("a", 60);
  store_->Keep(*std::move(reservation), nullptr, model_, 25, absl::Seconds(1));
  EXPECT_EQ(store_->used_bytes(), 25);
}

TEST_F(TraceStoreTest, TwoHundredClientsAtOnceStayWithinTheQuota) {
  std::atomic<int> opened{0};
  std::atomic<int> refused{0};
  std::atomic<int64_t> most{0};
  std::vector<std::thread> clients;
  for (int i = 0; i < 200; ++i) {
    clients.emplace_back([&, i] {
      const auto id = Open("client " + std::to_string(i % 10), 7);
      int64_t used = store_->used_bytes();
      int64_t seen = most.load();
      while (used > seen && !most.compare_exchange_weak(seen, used)) {
      }
      if (id.ok()) {
        ++opened;
        EXPECT_TRUE(store_->Find(*id).ok());
      } else {
        ++refused;
        EXPECT_EQ(id.status().code(), absl::StatusCode::kResourceExhausted);
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(opened, 14);
  EXPECT_EQ(refused, 186);
  EXPECT_LE(most, 100);
  EXPECT_EQ(store_->used_bytes(), 98);
  EXPECT_EQ(store_->size(), 14);
}

TEST(WorkerPoolTest, RunsAllThatWasPostedAndRefusesWhatDoesNotFit) {
  std::atomic<int> ran{0};
  absl::Mutex gate;
  {
    WorkerPool pool(1, 2);
    gate.Lock();
    absl::Notification started;
    ASSERT_TRUE(pool.Post([&] {
                      started.Notify();
                      absl::MutexLock lock(&gate);
                      ++ran;
                    })
                    .ok());
    started.WaitForNotification();
    EXPECT_TRUE(pool.Post([&] { ++ran; }).ok());
    EXPECT_TRUE(pool.Post([&] { ++ran; }).ok());
    const absl::Status full = pool.Post([&] { ++ran; });
    EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(GetErrorDetails(full).reason, "QUEUE_FULL");
    pool.Continue([&] { ++ran; });
    gate.Unlock();
  }
  EXPECT_EQ(ran, 4);
}

// Whenever short work is done, its thread finds nothing but long work waiting.
TEST(WorkerPoolTest, LongWorkLeavesAThreadForShort) {
  WorkerPool pool(2, 8);
  absl::Notification gate;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(pool.Post([&] { gate.WaitForNotification(); }, {"a", /*is_long=*/true}).ok());
  }
  for (int i = 0; i < 200; ++i) {
    auto ran = std::make_shared<absl::Notification>();
    ASSERT_TRUE(pool.Post([ran] { ran->Notify(); }, {"a", /*is_long=*/false}).ok());
    const bool in_time = ran->WaitForNotificationWithTimeout(absl::Seconds(60));
    EXPECT_TRUE(in_time) << "short work " << i;
    if (!in_time) break;
  }
  gate.Notify();
}

// How many threads `work` may compute with while other work runs, if `beside`, or none.
int64_t TeamOf(WorkerPool& pool, bool beside) {
  absl::Notification started, gate, ended, done;
  if (beside) {
    EXPECT_TRUE(pool.Post([&] {
                      started.Notify();
                      gate.WaitForNotification();
                      ended.Notify();
                    })
                    .ok());
    started.WaitForNotification();
  }
  int64_t team = 0;
  EXPECT_TRUE(pool.Post([&] {
                    team = MaxThreads();
                    done.Notify();
                  })
                  .ok());
  done.WaitForNotification();
  gate.Notify();
  if (beside) ended.WaitForNotification();
  return team;
}

TEST(WorkerPoolTest, WorkThatIsAloneHasATeam) {
  for (const auto& [threads, team, want] : {std::tuple(2, 5, 2), {4, 3, 3}, {1, 4, 1}}) {
    WorkerPool pool(threads, 8, team);
    EXPECT_EQ(TeamOf(pool, /*beside=*/false), want);
    if (threads == 1) continue;
    EXPECT_EQ(TeamOf(pool, /*beside=*/true), 1);
  }
}

// However many threads there are, no more than one of them keeps helpers.
TEST(WorkerPoolTest, OneThreadOnlyHasATeam) {
  WorkerPool pool(8, 8, 2);
  std::set<std::thread::id> with_team;
  for (int i = 0; i < 200; ++i) {
    absl::Notification done;
    const auto work = [&] {
      if (MaxThreads() > 1) with_team.insert(std::this_thread::get_id());
      done.Notify();
    };
    ASSERT_TRUE(pool.Post(work, {"a", /*is_long=*/i % 2 == 0}).ok());
    done.WaitForNotification();
  }
  EXPECT_EQ(with_team.size(), 1u);
}

// The pieces in the order in which one thread takes them while all are waiting.
std::vector<std::string> OrderOf(const std::vector<std::pair<std::string, WorkKind>>& pieces) {
  std::vector<std::string> order;
  {
    WorkerPool pool(1, 16);
    absl::Notification started;
    absl::Notification gate;
    EXPECT_TRUE(pool.Post([&] {
                      started.Notify();
                      gate.WaitForNotification();
                    })
                    .ok());
    started.WaitForNotification();
    for (const auto& [name, kind] : pieces) {
      EXPECT_TRUE(pool.Post([&order, name = name] { order.push_back(name); }, kind).ok());
    }
    gate.Notify();
  }
  return order;
}

TEST(WorkerPoolTest, ClientsTakeTurns) {
  EXPECT_THAT(OrderOf({{"a1", {"a"}}, {"a2", {"a"}}, {"a3", {"a"}}, {"b1", {"b"}}, {"b2", {"b"}}}),
              testing::ElementsAre("a1", "b1", "a2", "b2", "a3"));
}

TEST(WorkerPoolTest, OneThreadDoesLongAndShortInTurn) {
  const WorkKind slow{"a", true};
  const WorkKind quick{"a", false};
  EXPECT_THAT(OrderOf({{"l1", slow}, {"l2", slow}, {"s1", quick}, {"s2", quick}, {"s3", quick}}),
              testing::ElementsAre("l1", "s1", "l2", "s2", "s3"));
}

}  // namespace
}  // namespace heed
