
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/checkpoint/gguf_builder.h"

namespace heed {
namespace {

using Shape = std::vector<int64_t>;

// Adds tensors of a model one after another.
class ModelBuilder {
 public:
  explicit ModelBuilder(TestGguf* file) : file_(*file) {}

  void Weight(const std::string& name, Shape shape) {
    file_.tensors.push_back(F32Tensor(name + ".weight", shape, file_.tensors.size()));
  }
  void Bias(const std::string& name, int64_t size) {
    file_.tensors.push_back(F32Tensor(name + ".bias", {size}, file_.tensors.size()));
  }
  void Linear(const std::string& name, int64_t out, int64_t in) {
    Weight(name, {out, in});
    Bias(name, out);
  }
  void LayerNorm(const std::string& name) {
    Weight(name, {8});
    Bias(name, 8);
  }
  void TokenEmbedding() { Weight("token_embd", {11, 8}); }
  void Unembedding() { Weight("output", {11, 8}); }

 private:
  TestGguf& file_;
};

// Calls with the beginning of each layer's names.
template <typename Function>
void ForEachLayer(Function add) {
  for (int layer = 0; layer < 2; ++layer) add(absl::StrCat("blk.", layer, "."));
}

void AddGpt2(ModelBuilder model) {
  model.TokenEmbedding();
  model.Weight("position_embd", {16, 8});
  ForEachLayer([&](const std::string& blk) {
    model.LayerNorm(blk + "attn_norm");
    model.Linear(blk + "attn_qkv", 24, 8);
    model.Linear(blk + "attn_output", 8, 8);
    model.LayerNorm(blk + "ffn_norm");
    model.Linear(blk + "ffn_up", 16, 8);
    model.Linear(blk + "ffn_down", 8, 16);
  });
  model.LayerNorm("output_norm");
}

void AddLlama(ModelBuilder model) {
  model.TokenEmbedding();
  model.Weight("output_norm", {8});
  model.Unembedding();
  ForEachLayer([&](const std::string& blk) {
    model.Weight(blk + "attn_norm", {8});
    model.Weight(blk + "attn_q", {8, 8});
    model.Weight(blk + "attn_k", {4, 8});
    model.Weight(blk + "attn_v", {4, 8});
    model.Weight(blk + "attn_output", {8, 8});
    model.Weight(blk + "ffn_norm", {8});
    model.Weight(blk + "ffn_gate", {16, 8});
    model.Weight(blk + "ffn_up", {16, 8});
    model.Weight(blk + "ffn_down", {8, 16});
  });
}

void AddQwen2(ModelBuilder model) {
  AddLlama(model);
  ForEachLayer([&](const std::string& blk) {
    model.Bias(blk + "attn_q", 8);
    model.Bias(blk + "attn_k", 4);
    model.Bias(blk + "attn_v", 4);
  });
}

void AddPhi3(ModelBuilder model) {
  model.TokenEmbedding();
  model.Weight("output_norm", {8});
  model.Unembedding();
  ForEachLayer([&](const std::string& blk) {
    model.Weight(blk + "attn_norm", {8});
    model.Weight(blk + "attn_qkv", {16, 8});
    model.Weight(blk + "attn_output", {8, 8});
    model.Weight(blk + "ffn_norm", {8});
    model.Weight(blk + "ffn_up", {32, 8});
    model.Weight(blk + "ffn_down", {8, 16});
  });
}

void AddHeadNorms(ModelBuilder model) {
  ForEachLayer([&](const std::string& blk) {
    model.Weight(blk + "attn_q_norm", {4});
    model.Weight(blk + "attn_k_norm", {4});
  });
}

void AddQwen3(ModelBuilder model) {
  AddLlama(model);
  AddHeadNorms(model);
}

void AddGemma2(ModelBuilder model) {
  AddLlama(model);
  ForEachLayer([&](const std::string& blk) {
    model.Weight(blk + "post_attention_norm", {8});
    model.Weight(blk + "post_ffw_norm", {8});
  });
}

void AddGemma3(ModelBuilder model) {
  AddGemma2(model);
  AddHeadNorms(model);
}

void AddGptNeoX(ModelBuilder model) {
  AddGpt2(model);
  model.Unembedding();
}

void AddPhi2(ModelBuilder model) {
  model.TokenEmbedding();
  model.LayerNorm("output_norm");
  model.Linear("output", 11, 8);
  ForEachLayer([&](const std::string& blk) {
    model.LayerNorm(blk + "attn_norm");
    for (const char* part : {"attn_q", "attn_k", "attn_v", "attn_output"}) {
      model.Linear(blk + part, 8, 8);
    }
    model.Linear(blk + "ffn_up", 16, 8);
    model.Linear(blk + "ffn_down", 8, 16);
  });
}

void AddStarCoder2(ModelBuilder model) {
  model.TokenEmbedding();
  model.LayerNorm("output_norm");
  ForEachLayer([&](const std::string& blk) {
    model.LayerNorm(blk + "attn_norm");
    model.Linear(blk + "attn_q", 8, 8);
    model.Linear(blk + "attn_k", 4, 8);
    model.Linear(blk + "attn_v", 4, 8);
    model.Linear(blk + "attn_output", 8, 8);
    model.LayerNorm(blk + "ffn_norm");
    model.Linear(blk + "ffn_up", 16, 8);
    model.Linear(blk + "ffn_down", 8, 16);
  });
}

void AddStableLm(ModelBuilder model) {
  AddQwen2(model);
  model.Bias("output_norm", 8);
  ForEachLayer([&](const std::string& blk) {
    model.Bias(blk + "attn_norm", 8);
    model.Bias(blk + "ffn_norm", 8);
  });
}

void AddMpt(ModelBuilder model) {
  model.TokenEmbedding();
  model.Weight("output_norm", {8});
  ForEachLayer([&](const std::string& blk) {
    model.Weight(blk + "attn_norm", {8});
    model.Weight(blk + "attn_qkv", {24, 8});
    model.Weight(blk + "attn_output", {8, 8});
    model.Weight(blk + "ffn_norm", {8});
    model.Weight(blk + "ffn_up", {16, 8});
    model.Weight(blk + "ffn_down", {8, 16});
  });
}

void AddBloom(ModelBuilder model) {
  AddGpt2(model);
  model.LayerNorm("token_embd_norm");
}

void AddBert(ModelBuilder model) {
  model.TokenEmbedding();
  model.Weight("position_embd", {16, 8});
  model.Weight("token_types", {2, 8});
  model.LayerNorm("token_embd_norm");
  ForEachLayer([&](const std::string& blk) {
    for (const char* part : {"attn_q", "attn_k", "attn_v", "attn_output"}) {
      model.Linear(blk + part, 8, 8);
    }
    model.LayerNorm(blk + "attn_output_norm");
    model.Linear(blk + "ffn_up", 16, 8);
    model.Linear(blk + "ffn_down", 8, 16);
    model.LayerNorm(blk + "layer_output_norm");
  });
}

void AddModernBert(ModelBuilder model) {
  model.TokenEmbedding();
  model.Weight("token_embd_norm", {8});
  model.Weight("output_norm", {8});
  ForEachLayer([&](const std::string& blk) {
    if (blk != "blk.0.") model.Weight(blk + "attn_norm", {8});
    model.Weight(blk + "attn_qkv", {24, 8});
    model.Weight(blk + "attn_output", {8, 8});
    model.Weight(blk + "ffn_norm", {8});
    model.Weight(blk + "ffn_up", {32, 8});
    model.Weight(blk + "ffn_down", {8, 16});
  });
}

// What an architecture's files have beside the keys of all.
struct TinyModel {
  const char* architecture;
  void (*add)(ModelBuilder model);
  bool is_like_llama = false;                     // RMS norms, and one key head
  std::vector<TestGgufKey> keys;                  // less the architecture in front
  std::vector<const char*> without_tensors = {};  // of those that `add` adds
};

const std::vector<TinyModel>& TinyModels() {
  static const auto* const kModels = new std::vector<TinyModel>{
      {"gpt2", AddGpt2},
      {"llama", AddLlama, true, {{"rope.dimension_count", GgufU32(4)}}},
      {"smollm3", AddLlama, true, {{"rope.dimension_count", GgufU32(4)}}, {"output.weight"}},
      {"phi3",
       AddPhi3,
       true,
       {{"rope.dimension_count", GgufU32(4)}, {"attention.sliding_window", GgufU32(0)}}},
      {"qwen2", AddQwen2, true, {{"rope.freq_base", GgufF32(20000)}}},
      {"qwen3", AddQwen3, true, {{"attention.key_length", GgufU32(4)}}},
      {"gemma", AddLlama, true, {{"attention.key_length", GgufU32(4)}}, {"output.weight"}},
      {"gemma2",
       AddGemma2,
       true,
       {{"attn_logit_softcapping", GgufF32(25)},
        {"final_logit_softcapping", GgufF32(15)},
        {"attention.sliding_window", GgufU32(5)}},
       {"output.weight"}},
      {"gemma3",
       AddGemma3,
       true,
       {{"rope.freq_base", GgufF32(1e6f)}, {"attention.sliding_window", GgufU32(5)}},
       {"output.weight"}},
      {"gptneox",
       AddGptNeoX,
       false,
       {{"rope.dimension_count", GgufU32(2)}, {"use_parallel_residual", GgufBool(true)}},
       {"position_embd.weight"}},
      {"phi2", AddPhi2, false, {{"rope.dimension_count", GgufU32(2)}}},
      {"starcoder2", AddStarCoder2, false, {{"attention.head_count_kv", GgufU32(1)}}},
      {"stablelm",
       AddStableLm,
       false,
       {{"attention.head_count_kv", GgufU32(1)},
        {"rope.dimension_count", GgufU32(2)},
        {"use_parallel_residual", GgufBool(true)}}},
      {"mpt", AddMpt, false, {{"attention.max_alibi_bias", GgufF32(8)}}},
      {"bloom",
       AddBloom,
       false,
       {{"attention.head_count_kv", GgufU32(2)}},
       {"position_embd.weight"}},
      {"bert", AddBert, false, {{"attention.causal", GgufBool(false)}}},
      {"modern-bert",
       AddModernBert,
       false,
       {{"attention.causal", GgufBool(false)},
        {"rope.freq_base", GgufF32(160000)},
        {"rope.freq_base_swa", GgufF32(500)},
        {"rope.scaling.type", GgufText("none")},
        {"attention.sliding_window", GgufU32(8)},
        {"attention.sliding_window_pattern", GgufU32(3)},
        {"hidden_activation", GgufText("gelu")}}},
  };
  return *kModels;
}

const TinyModel& Find(absl::string_view architecture) {
  for (const TinyModel& model : TinyModels()) {
    if (architecture == model.architecture) return model;
  }
  ADD_FAILURE() << "no tiny model of " << architecture;
  return TinyModels().front();
}

}  // namespace

const std::vector<std::string>& TinyGgufArchitectures() {
  static const auto* const kNames = [] {
    auto* names = new std::vector<std::string>();
    for (const TinyModel& model : TinyModels()) names->push_back(model.architecture);
    return names;
  }();
  return *kNames;
}

TestGguf TinyGguf(absl::string_view architecture) {
  const TinyModel& model = Find(architecture);
  TestGguf file;
  const std::string a = absl::StrCat(architecture, ".");
  file.Set("general.architecture", GgufText(architecture));
  file.Set("general.name", GgufText("tiny"));
  file.Set(a + "block_count", GgufU32(2));
  file.Set(a + "context_length", GgufU32(16));
  file.Set(a + "embedding_length", GgufU32(8));
  file.Set(a + "feed_forward_length", GgufU32(16));
  file.Set(a + "attention.head_count", GgufU32(2));
  if (model.is_like_llama) {
    file.Set(a + "attention.head_count_kv", GgufU32(1));
    file.Set(a + "attention.layer_norm_rms_epsilon", GgufF32(1e-6f));
    file.Set("tokenizer.ggml.bos_token_id", GgufU32(9));
  } else {
    file.Set(a + "attention.layer_norm_epsilon", GgufF32(1e-5f));
  }
  for (const auto& [key, value] : model.keys) file.Set(a + key, value);
  if (!absl::EndsWith(architecture, "bert")) file.Set("tokenizer.ggml.eos_token_id", GgufU32(10));
  model.add(ModelBuilder(&file));
  for (const char* name : model.without_tensors) file.RemoveTensor(name);
  return file;
}

}  // namespace heed
