#include "server/engine/background_digest.h"

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "model/base/stop_signal.h"
#include "tests/transformer/forwarding_checkpoint.h"

namespace heed {
namespace {

using Progress = std::function<void(int64_t done, int64_t total)>;

std::unique_ptr<Checkpoint> Gpt2() {
  auto checkpoint = OpenCheckpoint(HEED_SOURCE_DIR "/tests/golden/models/gpt2-f32");
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
  return *std::move(checkpoint);
}

// Its digest is computed by a function.
class ScriptedCheckpoint final : public ForwardingCheckpoint {
 public:
  using Script = std::function<absl::StatusOr<std::string>(const Progress&, const StopSignal&)>;
  ScriptedCheckpoint(const Checkpoint& checkpoint, Script script)
      : ForwardingCheckpoint(checkpoint), script_(std::move(script)) {}
  absl::StatusOr<std::string> ComputeDigest(const Progress& progress,
                                            const StopSignal& stop) const override {
    return script_(progress, stop);
  }

 private:
  const Script script_;
};

class BackgroundDigestTest : public ::testing::Test {
 protected:
  const std::unique_ptr<Checkpoint> gpt2_ = Gpt2();
};

TEST_F(BackgroundDigestTest, IsTheCheckpoints) {
  BackgroundDigest digest(*gpt2_);
  const absl::StatusOr<std::string> got = digest.Wait(nullptr);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(*got, gpt2_->digest());
}

TEST_F(BackgroundDigestTest, IsComputedElsewhereAndTellsHowFarItIsHere) {
  absl::Notification seen;
  std::thread::id computed_on;
  const ScriptedCheckpoint slow(*gpt2_, [&](const Progress& progress, const StopSignal&) {
    computed_on = std::this_thread::get_id();
    progress(3, 8);
    EXPECT_TRUE(seen.WaitForNotificationWithTimeout(absl::Seconds(30)));
    return absl::StatusOr<std::string>("sha256:slow");
  });
  BackgroundDigest digest(slow);
  const auto got = digest.Wait([&](int64_t done, int64_t total) {
    if (seen.HasBeenNotified() || total == 0) return;
    EXPECT_EQ(done, 3);
    EXPECT_EQ(total, 8);
    EXPECT_NE(std::this_thread::get_id(), computed_on);
    seen.Notify();
  });
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(*got, "sha256:slow");
}

TEST_F(BackgroundDigestTest, PassesOnWhatWentWrong) {
  const ScriptedCheckpoint changed(*gpt2_, [](const Progress&, const StopSignal&) {
    return absl::DataLossError("the file changed");
  });
  BackgroundDigest digest(changed);
  EXPECT_EQ(digest.Wait(nullptr).status(), absl::DataLossError("the file changed"));
}

// Nobody waits for the hash of a model that could not be loaded.
TEST_F(BackgroundDigestTest, EndsWithItsOwner) {
  bool was_stopped = false;
  const ScriptedCheckpoint endless(*gpt2_, [&](const Progress&, const StopSignal& stop) {
    const absl::Time give_up = absl::Now() + absl::Seconds(30);
    while (!stop.ShouldStop() && absl::Now() < give_up) absl::SleepFor(absl::Milliseconds(1));
    was_stopped = stop.ShouldStop();
    return stop.Check();
  });
  { const BackgroundDigest digest(endless); }
  EXPECT_TRUE(was_stopped);
}

}  // namespace
}  // namespace heed
