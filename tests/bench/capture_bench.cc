#include "tests/bench/capture_bench.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <numeric>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"
#include "model/inspect/attention_capture.h"
#include "model/transformer/kv_cache.h"

namespace heed::bench {
namespace {

struct Mode {
  std::string name;
  std::vector<int> layers;
  int64_t top_k;
};

template <typename T>
std::vector<T> UpTo(T n) {
  std::vector<T> all(n);
  std::iota(all.begin(), all.end(), T{0});
  return all;
}

std::vector<Mode> ModesOf(const ModelConfig& config) {
  const std::vector<int> all = UpTo(config.n_layers);
  return {{"nothing", {}, 0},
          {"top 16 of all heads", all, 16},
          {"one layer", {config.n_layers / 2}, 0},
          {"all weights", all, 0}};
}

constexpr int64_t kCapturedTokens = 512;  // or the context window, if that is less

// One sequence that is run again and again.
class Sequence {
 public:
  explicit Sequence(const LanguageModel& model)
      : model_(model),
        pool_(KvLayout::For(model.config()), PagesFor(model.config().context_window)),
        cache_(&pool_),
        workspace_(model.NewWorkspace()),
        logits_(model.config().vocab_size) {}

  absl::Status Reserve(int64_t tokens) { return cache_.Reserve(tokens); }

  // A prompt from the beginning; everything that `mode` asks for is in memory afterwards.
  absl::Status Prefill(int64_t n, const Mode& mode) {
    cache_.Truncate(0);
    if (mode.layers.empty()) return Append(n, nullptr);
    const ModelConfig& config = model_.config();
    AttentionChoice choice{mode.layers, UpTo(config.n_heads), UpTo(n), mode.top_k};
    HEED_ASSIGN_OR_RETURN(
        const std::unique_ptr<PromptCapture> capture,
        PromptCapture::Create(std::move(choice), n, config.n_layers, config.n_heads));
    return Append(n, capture.get());
  }

  // Generated tokens behind `prompt` tokens that are there.
  absl::Status Decode(int64_t prompt, int64_t steps, const Mode& mode) {
    cache_.Truncate(prompt);
    const ModelConfig& config = model_.config();
    StepCapture capture({mode.layers, UpTo(config.n_heads), {}, mode.top_k}, prompt,
                        config.n_layers, config.n_heads);
    for (int64_t i = 0; i < steps; ++i) {
      HEED_RETURN_IF_ERROR(Append(1, mode.layers.empty() ? nullptr : &capture));
      capture.TakeRows();
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Append(int64_t count, ForwardObserver* observer) {
    const int64_t vocab_size = model_.config().vocab_size;
    tokens_.clear();
    for (int64_t i = 0; i < count; ++i) {
      tokens_.push_back(static_cast<TokenId>((cache_.size() + i) * 31 % vocab_size));
    }
    const int64_t last = count - 1;
    const ForwardPlan plan{.observer = observer};
    SequenceSlice slice{
        .tokens = tokens_, .cache = &cache_, .logits_rows = {&last, 1}, .plan = &plan};
    if (!model_.config().has_head) slice.logits_rows = {};
    const MatrixRef logits(logits_.data(), static_cast<int64_t>(slice.logits_rows.size()),
                           vocab_size);
    return model_.Forward({&slice, 1}, logits, workspace_.get());
  }

  const LanguageModel& model_;
  KvPool pool_;
  KvCache cache_;
  std::unique_ptr<Workspace> workspace_;
  std::vector<float> logits_;  // [vocab_size]
  std::vector<TokenId> tokens_;
};

// Of prefill: what a mode adds is far less than the seconds of two runs differ by on a shared
// machine, so that it takes many rounds to see it.
constexpr int kRoundsPerRepetition = 3;

// Runs the modes in turn, round after round, the first one before and after each other, and says
// how much longer than the mean of those two the other one took.
absl::StatusOr<std::vector<Measurement>> Compare(const std::string& what,
                                                 const std::vector<Mode>& modes, int rounds,
                                                 absl::FunctionRef<absl::Status(const Mode&)> run) {
  const auto seconds_of = [&](const Mode& mode) -> absl::StatusOr<double> {
    const double start = SecondsNow();
    HEED_RETURN_IF_ERROR(run(mode));
    return SecondsNow() - start;
  };
  for (const Mode& mode : modes) HEED_RETURN_IF_ERROR(run(mode));  // to warm up
  std::vector<std::vector<double>> more(modes.size());
  HEED_ASSIGN_OR_RETURN(double before, seconds_of(modes[0]));
  for (int round = 0; round < rounds; ++round) {
    for (size_t m = 1; m < modes.size(); ++m) {
      HEED_ASSIGN_OR_RETURN(const double seconds, seconds_of(modes[m]));
      HEED_ASSIGN_OR_RETURN(const double after, seconds_of(modes[0]));
      more[m].push_back(100 * (2 * seconds / (before + after) - 1));
      before = after;
    }
  }
  std::vector<Measurement> measurements;
  for (size_t m = 1; m < modes.size(); ++m) {
    measurements.push_back(
        Summarise(absl::StrCat("keeping ", modes[m].name, ", ", what), "% more", more[m]));
  }
  return measurements;
}

}  // namespace

absl::StatusOr<std::vector<Measurement>> BenchCapture(const LanguageModel& model,
                                                      const EngineBenchOptions& options) {
  const ModelConfig& config = model.config();
  const int64_t window = config.context_window;
  const int64_t prompt = std::min(kCapturedTokens, window);
  const std::vector<Mode> modes = ModesOf(config);
  Sequence sequence(model);
  HEED_RETURN_IF_ERROR(sequence.Reserve(window));
  HEED_ASSIGN_OR_RETURN(
      std::vector<Measurement> measurements,
      Compare(absl::StrCat("prefill ", prompt), modes, kRoundsPerRepetition * options.repetitions,
              [&](const Mode& mode) { return sequence.Prefill(prompt, mode); }));
  if (config.causal) {
    const int64_t steps = std::max<int64_t>(std::min(options.decode_tokens, window / 2), 1);
    const int64_t behind = std::max<int64_t>(std::min(prompt, window - steps), 1);
    HEED_RETURN_IF_ERROR(sequence.Prefill(behind, modes.front()));
    HEED_ASSIGN_OR_RETURN(
        const std::vector<Measurement> decode,
        Compare(absl::StrCat("decode ", steps, " behind ", behind), modes, options.repetitions,
                [&](const Mode& mode) { return sequence.Decode(behind, steps, mode); }));
    measurements.insert(measurements.end(), decode.begin(), decode.end());
  }
  const int64_t longer = std::min<int64_t>(1024, window);
  absl::Status status;
  const std::vector<double> seconds = TimeRepeatedly(
      options.repetitions, [&] { status.Update(sequence.Prefill(longer, modes.back())); });
  HEED_RETURN_IF_ERROR(status);
  measurements.push_back(
      Summarise(absl::StrCat("prefill ", longer, " with all weights of all heads"), "s", seconds));
  return measurements;
}

}  // namespace heed::bench
