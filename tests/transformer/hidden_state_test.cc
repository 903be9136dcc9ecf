// The final hidden states that observers ask for: exactly what the head reads, and free when nobody
// asks.
#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/transformer/golden_file.h"
#include "tests/transformer/model_testing.h"

namespace heed {
namespace {

// Keeps the hidden states of some positions, in the order in which they come.
class HiddenStateRecorder : public ForwardObserver {
 public:
  explicit HiddenStateRecorder(std::vector<int64_t> wanted) : wanted_(std::move(wanted)) {}

  AttentionRows WantAttention(int, int64_t, int64_t) override { return {}; }
  void OnAttentionRow(int, int, int64_t, absl::Span<const float>) override {}
  absl::Span<const int64_t> WantHiddenStates(int64_t begin, int64_t end) override {
    const auto first = std::lower_bound(wanted_.begin(), wanted_.end(), begin);
    const auto last = std::lower_bound(first, wanted_.end(), end);
    return absl::MakeConstSpan(wanted_).subspan(first - wanted_.begin(), last - first);
  }
  void OnHiddenState(int64_t position, absl::Span<const float> state) override {
    positions.push_back(position);
    states.insert(states.end(), state.begin(), state.end());
  }

  std::vector<int64_t> positions;
  std::vector<float> states;  // [positions, width]

 private:
  const std::vector<int64_t> wanted_;
};

std::vector<int64_t> UpTo(int64_t n) {
  std::vector<int64_t> positions;
  for (int64_t i = 0; i < n; ++i) positions.push_back(i);
  return positions;
}

// The part of a model behind the final hidden states, from the checkpoint's tensors and in plain
// loops.
class Head {
 public:
  explicit Head(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  static bool Knows(const ModelConfig& config) {
    if (!config.has_head || (!config.tied_embeddings && config.architecture != "llama")) {
      return false;
    }
    for (const char* name : {"gpt2", "llama", "bert", "heed_mixing"}) {
      if (config.architecture == name) return true;
    }
    return false;
  }

  std::vector<float> Logits(std::vector<float> states) const {
    const ModelConfig& config = checkpoint_.config();
    if (config.architecture == "gpt2") return Linear(states, "wte", config.vocab_size);
    if (config.architecture == "heed_mixing") {
      return Linear(states, "embed_tokens", config.vocab_size);
    }
    if (config.architecture == "llama") {
      const char* name = config.tied_embeddings ? "embed_tokens" : "lm_head";
      return Linear(states, name, config.vocab_size);
    }
    const std::string transform = "cls.predictions.transform.";
    states = Linear(states, transform + "dense", config.width, transform + "dense.bias");
    const MatrixRef x(states.data(), Rows(states), config.width);
    ReferenceBackend()->Activate(config.activation, x);
    const std::vector<float> weight = Read(transform + "LayerNorm.weight", {config.width});
    const std::vector<float> bias = Read(transform + "LayerNorm.bias", {config.width});
    ReferenceBackend()->Normalize(config.norm, {weight, bias, config.norm_eps}, x, x);
    return Linear(states, "embeddings.word_embeddings", config.vocab_size, "cls.predictions.bias");
  }

 private:
  int64_t Rows(const std::vector<float>& states) const {
    return static_cast<int64_t>(states.size()) / checkpoint_.config().width;
  }

  std::vector<float> Read(const std::string& name, std::vector<int64_t> shape) const {
    int64_t size = 1;
    for (int64_t dim : shape) size *= dim;
    std::vector<float> values(size);
    EXPECT_TRUE(checkpoint_.ReadF32(name, shape, absl::MakeSpan(values)).ok()) << name;
    return values;
  }

  std::vector<float> Linear(const std::vector<float>& x, const std::string& name, int64_t out,
                            const std::string& bias_name = "") const {
    const int64_t width = checkpoint_.config().width;
    const std::vector<float> weight = Read(name + ".weight", {out, width});
    const std::vector<float> bias =
        bias_name.empty() ? std::vector<float>() : Read(bias_name, {out});
    const auto linear = ReferenceBackend()->PackMatrix({weight.data(), out, width}, bias);
    std::vector<float> y(Rows(x) * out);
    (*linear)->Apply({x.data(), Rows(x), width}, {y.data(), Rows(x), out});
    return y;
  }

  const Checkpoint& checkpoint_;
};

std::vector<TokenId> SomeTokens(const ModelConfig& config, int64_t n) {
  std::vector<TokenId> ids;
  for (int64_t i = 0; i < n; ++i) ids.push_back(static_cast<TokenId>(i * 37 % config.vocab_size));
  return ids;
}

class HiddenStateTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    model_ = LoadGolden(GetParam(), DefaultBackend());
    ASSERT_NE(model_, nullptr);
    ids_ = SomeTokens(model_->config(), std::min<int64_t>(40, model_->config().context_window));
  }
  std::vector<int64_t> Everywhere() const { return UpTo(static_cast<int64_t>(ids_.size())); }

  std::unique_ptr<const LanguageModel> model_;
  std::vector<TokenId> ids_;
};

TEST_P(HiddenStateTest, TheHeadMakesTheLogitsOfThem) {
  if (!Head::Knows(model_->config())) return;  // the golden states speak for them
  HiddenStateRecorder recorder(Everywhere());
  const std::vector<float> logits = Runner(model_.get(), &recorder).Append(ids_);
  ASSERT_EQ(recorder.positions, Everywhere());
  const auto checkpoint = OpenHuggingFaceFolder(GoldenFolder(GetParam()));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const std::vector<float> want = Head(**checkpoint).Logits(recorder.states);
  ASSERT_EQ(logits.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(logits[i], want[i], 1e-5) << i;
}

TEST_P(HiddenStateTest, TheyEqualTheReference) {
  const GoldenFile golden(GoldenFolder(GetParam()) + "/golden.safetensors");
  const bool is_mixing = golden.Has("hidden");
  const GoldenFile states(GoldenFolder(GetParam()) +
                          (is_mixing ? "/golden.safetensors" : "/states.safetensors"));
  const std::vector<int64_t> ids = golden.Read<int64_t>("input_ids");
  const std::vector<float> want = states.Read<float>(is_mixing ? "hidden" : "last_hidden_state");
  HiddenStateRecorder recorder(UpTo(static_cast<int64_t>(ids.size())));
  Runner(model_.get(), &recorder).Append(std::vector<TokenId>(ids.begin(), ids.end()));
  ASSERT_EQ(recorder.states.size(), want.size());
  const double tolerance = is_mixing ? 1e-5 : 1e-4;
  for (size_t i = 0; i < want.size(); ++i) {
    ASSERT_NEAR(recorder.states[i], want[i], tolerance) << i;
  }
}

TEST_P(HiddenStateTest, WantingThemChangesNoBit) {
  const std::vector<int64_t> some = {0, 7, static_cast<int64_t>(ids_.size()) - 1};
  HiddenStateRecorder recorder(some);
  const std::vector<float> watched = Runner(model_.get(), &recorder).Append(ids_);
  EXPECT_EQ(watched, Runner(model_.get()).Append(ids_));
  EXPECT_EQ(recorder.positions, some);
}

TEST_P(HiddenStateTest, ASelectionHasTheBitsOfTheWhole) {
  HiddenStateRecorder all(Everywhere()), some({3, 16, 17});
  Runner(model_.get(), &all).Append(ids_);
  Runner(model_.get(), &some).Append(ids_);
  const int64_t width = model_->config().width;
  ASSERT_EQ(some.states.size(), static_cast<size_t>(3 * width));
  for (size_t i = 0; i < some.positions.size(); ++i) {
    const auto begin = all.states.begin() + some.positions[i] * width;
    EXPECT_TRUE(std::equal(begin, begin + width, some.states.begin() + i * width)) << i;
  }
}

TEST_P(HiddenStateTest, ChunksGiveTheSameBits) {
  if (!model_->config().causal) return;  // a bidirectional model takes a whole sequence
  HiddenStateRecorder whole(Everywhere()), pieces(Everywhere());
  Runner(model_.get(), &whole).Append(ids_);
  Runner runner(model_.get(), &pieces);
  runner.set_prompt_tokens(ids_.size());
  for (size_t begin = 0; begin < ids_.size(); begin += 7) {
    runner.Append(absl::MakeSpan(ids_).subspan(begin, 7));
  }
  EXPECT_EQ(pieces.positions, whole.positions);
  EXPECT_EQ(pieces.states, whole.states);
}

// Behind a sequence that is stopped and another one that nobody watches.
TEST_P(HiddenStateTest, AloneAndAmongOthersTheyHaveTheSameBits) {
  HiddenStateRecorder alone(Everywhere()), together(Everywhere()), stopped(Everywhere());
  Runner(model_.get(), &alone).Append(ids_);
  KvPool pool(KvLayout::For(model_->config()), 9);
  KvCache caches[] = {KvCache(&pool), KvCache(&pool), KvCache(&pool)};
  const ForwardPlan plans[] = {{&stopped}, {}, {&together}};
  StopSignal stop;
  stop.Cancel();
  std::vector<SequenceSlice> batch;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(caches[i].Reserve(static_cast<int64_t>(ids_.size())).ok());
    const absl::Span<const TokenId> tokens = absl::MakeConstSpan(ids_).subspan(i == 1 ? 9 : 0);
    batch.push_back({tokens, &caches[i], {}, &plans[i], i == 0 ? &stop : nullptr});
    batch.back().prompt_tokens = static_cast<int64_t>(tokens.size());
  }
  const auto workspace = model_->NewWorkspace();
  const MatrixRef no_logits(nullptr, 0, model_->config().vocab_size);
  ASSERT_TRUE(model_->Forward(absl::MakeSpan(batch), no_logits, workspace.get()).ok());
  EXPECT_TRUE(stopped.positions.empty());
  EXPECT_EQ(together.states, alone.states);
}

std::string TestName(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Models, HiddenStateTest, testing::ValuesIn(GoldenModels()), TestName);

}  // namespace
}  // namespace heed
