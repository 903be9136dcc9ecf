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
          {"one layer", {(config.n_layers - 1) / 2}, 0},
          {"all weights", all, 0}};
}

constexpr int64_t kCapturedTokens = 512;  // or the context window, if that is less

// A layer or a step of a run.
struct Part {
  double seconds;
  double of_run;  // how much of the whole run that was
  bool is_watched;
};

// Tells when each layer begins, and lets `capture` watch the chosen ones.
class LayerClock final : public ForwardObserver {
 public:
  LayerClock(PromptCapture* capture, std::vector<bool> is_watched)
      : capture_(capture), is_watched_(std::move(is_watched)) {}

  AttentionRows WantAttention(int layer, int64_t begin, int64_t end) override {
    beginnings_.push_back(SecondsNow());
    return is_watched_[layer] ? capture_->WantAttention(layer, begin, end) : AttentionRows{};
  }
  absl::Span<float> RoomForAttentionRow(int layer, int head, int64_t query) override {
    return capture_->RoomForAttentionRow(layer, head, query);
  }
  void OnAttentionRow(int layer, int head, int64_t query,
                      absl::Span<const float> weights) override {
    capture_->OnAttentionRow(layer, head, query, weights);
  }
  void OnAttentionRows(int layer, absl::Span<const WatchedRow> rows) override {
    capture_->OnAttentionRows(layer, rows);
  }

  // Each layer lasts until the next one begins. Without the last of several, of which only the rows
  // that are asked for are made.
  void AddTo(const std::vector<int>& layers, std::vector<Part>& parts) const {
    const double now = SecondsNow(), run = now - beginnings_.front();
    for (size_t layer : layers) {
      const bool is_last = layer + 1 == beginnings_.size();
      if (is_last && layer > 0) continue;
      const double end = is_last ? now : beginnings_[layer + 1];
      const double seconds = end - beginnings_[layer];
      parts.push_back({seconds, seconds / run, is_watched_[layer]});
    }
  }

 private:
  PromptCapture* capture_;
  std::vector<bool> is_watched_;    // by layer
  std::vector<double> beginnings_;  // by layer
};

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
    HEED_ASSIGN_OR_RETURN(const std::unique_ptr<PromptCapture> capture, NewCapture(n, mode));
    return Append(n, capture.get());
  }

  // A prompt from the beginning in which every second one of the mode's layers is watched: the
  // first of them, or if `is_odd` the second, and so on.
  absl::Status PrefillHalf(int64_t n, const Mode& mode, bool is_odd, std::vector<Part>& parts) {
    cache_.Truncate(0);
    HEED_ASSIGN_OR_RETURN(const std::unique_ptr<PromptCapture> capture, NewCapture(n, mode));
    std::vector<bool> is_watched(model_.config().n_layers);
    for (size_t i = is_odd ? 1 : 0; i < mode.layers.size(); i += 2) {
      is_watched[mode.layers[i]] = true;
    }
    LayerClock clock(capture.get(), std::move(is_watched));
    HEED_RETURN_IF_ERROR(Append(n, &clock));
    clock.AddTo(mode.layers, parts);
    return absl::OkStatus();
  }

  // Tokens generated behind `prompt` tokens that are there, of which every second one is watched:
  // the first of them, or if `is_odd` the second, and so on.
  absl::Status DecodeHalf(int64_t prompt, int64_t steps, const Mode& mode, bool is_odd,
                          std::vector<Part>& parts) {
    cache_.Truncate(prompt);
    const ModelConfig& config = model_.config();
    StepCapture capture({mode.layers, UpTo(config.n_heads), {}, mode.top_k}, prompt,
                        config.n_layers, config.n_heads);
    for (int64_t i = 0; i < steps; ++i) {
      const bool is_watched = i % 2 == (is_odd ? 1 : 0);
      const double begin = SecondsNow();
      HEED_RETURN_IF_ERROR(Append(1, is_watched ? &capture : nullptr));
      if (is_watched) capture.TakeRows(prompt + i);
      parts.push_back({SecondsNow() - begin, 1, is_watched});
    }
    return absl::OkStatus();
  }

 private:
  absl::StatusOr<std::unique_ptr<PromptCapture>> NewCapture(int64_t n, const Mode& mode) const {
    const ModelConfig& config = model_.config();
    return PromptCapture::Create({mode.layers, UpTo(config.n_heads), UpTo(n), mode.top_k}, n,
                                 config.n_layers, config.n_heads);
  }

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

// How many times as long a watched part takes as the unwatched one before or behind it: the median.
double RatioOf(absl::Span<const Part> parts) {
  std::vector<double> ratios;
  for (size_t i = 1; i < parts.size(); ++i) {
    const Part &a = parts[i - 1], &b = parts[i];
    if (a.is_watched == b.is_watched) continue;
    ratios.push_back(a.is_watched ? a.seconds / b.seconds : b.seconds / a.seconds);
  }
  return Quantile(std::move(ratios), 0.5);
}

// How much of a run one part is that is not watched: the median.
double ShareOf(absl::Span<const Part> parts) {
  std::vector<double> shares;
  for (const Part& part : parts) {
    if (!part.is_watched) shares.push_back(part.of_run);
  }
  return Quantile(std::move(shares), 0.5);
}

// What the modes add to a run of which so many parts are watched. That is far less than two runs
// differ by on a shared machine, so that neighbours are compared: every second part is watched, and
// in the next run the others. `pairs` of runs for each repetition.
absl::StatusOr<std::vector<Measurement>> Compare(
    const std::string& what, const std::vector<Mode>& modes, int repetitions, int pairs,
    absl::FunctionRef<absl::Status(const Mode&, bool is_odd, std::vector<Part>&)> run,
    absl::FunctionRef<double(const Mode&)> watched_parts) {
  std::vector<std::vector<double>> more(modes.size());
  for (int repetition = -1; repetition < repetitions; ++repetition) {  // the first to warm up
    for (size_t m = 1; m < modes.size(); ++m) {
      std::vector<Part> parts;
      for (int pair = repetition < 0 ? pairs - 1 : 0; pair < pairs; ++pair) {
        for (bool is_odd : {false, true}) {
          HEED_RETURN_IF_ERROR(run(modes[m], is_odd, parts));
        }
      }
      if (repetition < 0) continue;
      const double share = watched_parts(modes[m]) * ShareOf(parts);
      more[m].push_back(100 * share * (RatioOf(parts) - 1));
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
  constexpr int kPromptPairs = 4, kDecodePairs = 1;
  HEED_ASSIGN_OR_RETURN(
      std::vector<Measurement> measurements,
      Compare(
          absl::StrCat("prefill ", prompt), modes, options.repetitions, kPromptPairs,
          [&](const Mode& mode, bool is_odd, std::vector<Part>& parts) {
            return sequence.PrefillHalf(prompt, mode, is_odd, parts);
          },
          [&](const Mode& mode) { return static_cast<double>(mode.layers.size()); }));
  if (config.causal) {
    const int64_t steps = std::max<int64_t>(std::min(options.decode_tokens, window / 2), 1);
    const int64_t behind = std::max<int64_t>(std::min(prompt, window - steps), 1);
    HEED_RETURN_IF_ERROR(sequence.Prefill(behind, modes.front()));
    HEED_ASSIGN_OR_RETURN(const std::vector<Measurement> decode,
                          Compare(
                              absl::StrCat("decode ", steps, " behind ", behind), modes,
                              options.repetitions, kDecodePairs,
                              [&](const Mode& mode, bool is_odd, std::vector<Part>& parts) {
                                return sequence.DecodeHalf(behind, steps, mode, is_odd, parts);
                              },
                              [](const Mode&) { return 1.0; }));
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
