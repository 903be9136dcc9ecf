#include "tests/client/fake_server.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/health_check_service_interface.h"

namespace heed::testing {
namespace {

constexpr char kDigest[] =
    "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

constexpr const char* kWords[] = {"the",  " keys", " to", " the", " cabinet", " were",
                                  " are", " was",  " is", " on",  " table"};

constexpr char kMask[] = "[MASK]";
constexpr int kMaskId = 4;

void SetMillis(google::protobuf::Duration* duration, double millis) {
  duration->set_nanos(static_cast<int32_t>(millis * 1e6));
}

void FillTimings(v1::Timings* timings) {
  SetMillis(timings->mutable_tokenize(), 0.1);
  SetMillis(timings->mutable_queue(), 0.2);
  SetMillis(timings->mutable_compute(), 3.1);
}

void FillIdentity(const std::string& asked, v1::ModelIdentity* identity) {
  identity->set_name(asked.empty() ? "decoder" : asked);
  identity->set_digest(kDigest);
}

v1::Token MakeToken(const std::string& bytes) {
  v1::Token token;
  if (bytes == kMask || bytes == absl::StrCat(" ", kMask)) {
    token.set_id(kMaskId);
    token.set_bytes(bytes);
    token.set_text(bytes);
    token.set_piece(kMask);
    token.set_special(true);
    return token;
  }
  const auto word = std::find(std::begin(kWords), std::end(kWords), bytes);
  token.set_id(word == std::end(kWords) ? 900 + static_cast<int>(bytes.size())
                                        : 100 + static_cast<int>(word - std::begin(kWords)));
  token.set_text(bytes);
  token.set_bytes(bytes);
  token.set_piece(bytes[0] == ' ' ? "Ġ" + bytes.substr(1) : bytes);
  return token;
}

void FillPrompt(const v1::Prompt& prompt, v1::PromptInfo* info) {
  if (prompt.has_text()) {
    for (v1::Token& token : FakeTokens(prompt.text())) *info->add_tokens() = std::move(token);
    return;
  }
  for (int32_t id : prompt.tokens().ids()) {
    v1::Token token = MakeToken(kWords[id % std::size(kWords)]);
    token.set_id(id);
    *info->add_tokens() = std::move(token);
  }
}

v1::Candidate MakeCandidate(const std::string& bytes, double probability, int rank) {
  v1::Candidate candidate;
  *candidate.mutable_token() = MakeToken(bytes);
  candidate.set_probability(probability);
  candidate.set_log_probability(std::log(probability));
  candidate.set_rank(rank);
  return candidate;
}

void FillTensor(const std::vector<float>& values, const std::vector<int64_t>& shape,
                v1::Tensor* tensor) {
  tensor->set_dtype(v1::DATA_TYPE_F32);
  for (int64_t size : shape) tensor->add_shape(size);
  tensor->set_data(std::string(reinterpret_cast<const char*>(values.data()), values.size() * 4));
}

// A row as top-k: keys and weights, and what is left out.
void AppendTopK(const std::vector<float>& row, int k, v1::TopKWeights* top_k,
                std::vector<float>& weights, std::vector<float>& dropped) {
  std::vector<int> keys;
  for (size_t i = 0; i < row.size(); ++i) keys.push_back(static_cast<int>(i));
  std::stable_sort(keys.begin(), keys.end(), [&](int a, int b) { return row[a] > row[b]; });
  float left = 1;
  for (int i = 0; i < k; ++i) {
    const bool has_key = i < static_cast<int>(keys.size());
    top_k->add_keys(has_key ? keys[i] : -1);
    weights.push_back(has_key ? row[keys[i]] : 0);
    left -= weights.back();
  }
  dropped.push_back(std::max(left, 0.0F));
}

v1::AttentionTile MakeTile(const FakeScript& script, int layer, int head,
                           const std::vector<int64_t>& queries, int64_t key_count, int k) {
  v1::AttentionTile tile;
  tile.set_layer(layer);
  tile.set_head(head);
  std::vector<float> weights;
  std::vector<float> dropped;
  for (int64_t query : queries) {
    tile.add_queries(query);
    std::vector<float> row =
        FakeRow((layer * script.heads + head) % 4, query, script.causal ? query + 1 : key_count);
    if (k > 0) {
      AppendTopK(row, k, tile.mutable_top_k(), weights, dropped);
    } else {
      row.resize(key_count, 0);
      weights.insert(weights.end(), row.begin(), row.end());
    }
  }
  const auto rows = static_cast<int64_t>(queries.size());
  if (k > 0) {
    tile.mutable_top_k()->set_k(k);
    FillTensor(weights, {rows, k}, tile.mutable_top_k()->mutable_weights());
    FillTensor(dropped, {rows}, tile.mutable_top_k()->mutable_dropped_mass());
  } else {
    FillTensor(weights, {rows, key_count}, tile.mutable_weights());
  }
  return tile;
}

// An index list of a selection, with negative values counted from the end and the default filled
// in.
template <typename T, typename Field>
std::vector<T> Resolve(const Field& field, int64_t count) {
  std::vector<T> result;
  for (auto index : field) result.push_back(static_cast<T>(index < 0 ? index + count : index));
  if (result.empty()) {
    for (int64_t i = 0; i < count; ++i) result.push_back(static_cast<T>(i));
  }
  return result;
}

}  // namespace

grpc::Status HeedError(grpc::StatusCode code, const std::string& message, const std::string& reason,
                       const std::vector<std::pair<std::string, std::string>>& metadata,
                       const std::vector<std::pair<std::string, std::string>>& wrong_fields) {
  google::rpc::Status status;
  status.set_code(code);
  status.set_message(message);
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain("heed");
  for (const auto& [key, value] : metadata) (*info.mutable_metadata())[key] = value;
  status.add_details()->PackFrom(info);
  if (!wrong_fields.empty()) {
    google::rpc::BadRequest bad;
    for (const auto& [field, description] : wrong_fields) {
      auto* violation = bad.add_field_violations();
      violation->set_field(field);
      violation->set_description(description);
    }
    status.add_details()->PackFrom(bad);
  }
  return grpc::Status(code, message, status.SerializeAsString());
}

std::vector<v1::Token> FakeTokens(const std::string& text) {
  std::vector<v1::Token> tokens;
  size_t begin = 0;
  while (begin < text.size()) {
    size_t end = text.find(' ', begin + 1);
    if (end == std::string::npos) end = text.size();
    tokens.push_back(MakeToken(text.substr(begin, end - begin)));
    tokens.back().set_byte_begin(static_cast<int64_t>(begin));
    tokens.back().set_byte_end(static_cast<int64_t>(end));
    begin = end;
  }
  return tokens;
}

std::vector<float> FakeRow(int pattern, int64_t query, int64_t visible_keys) {
  std::vector<float> row(visible_keys, 1);
  for (int64_t key = 0; key < visible_keys; ++key) {
    if (pattern == 0 && key == query - 1) row[key] = 12;
    if (pattern == 1 && key == 0) row[key] = 20;
    if (pattern == 2 && key == 1) row[key] = 16;
    if (pattern == 3) row[key] = static_cast<float>(key + 1);
  }
  float sum = 0;
  for (float weight : row) sum += weight;
  for (float& weight : row) weight /= sum;
  return row;
}

std::vector<float> FakeTokenVector(int32_t id, int64_t position) {
  return {static_cast<float>(id % 10), static_cast<float>(position), 1};
}

class FakeServer::Models final : public v1::ModelService::Service {
 public:
  explicit Models(FakeServer* fake) : fake_(fake) {}

  grpc::Status ListModels(grpc::ServerContext*, const v1::ListModelsRequest*,
                          v1::ListModelsResponse* response) override {
    if (grpc::Status status = fake_->BeginCall(); !status.ok()) return status;
    for (const std::string& name : fake_->script.models) {
      *response->add_models() = fake_->Model(name);
    }
    return grpc::Status::OK;
  }

  grpc::Status GetModel(grpc::ServerContext*, const v1::GetModelRequest* request,
                        v1::GetModelResponse* response) override {
    if (grpc::Status status = fake_->BeginCall(); !status.ok()) return status;
    if (!fake_->IsLoaded(request->model())) {
      return HeedError(grpc::NOT_FOUND,
                       absl::StrCat("model \"", request->model(),
                                    "\" is not loaded. Loaded: decoder. Did you mean \"decoder\"?"),
                       "MODEL_NOT_FOUND", {{"model", request->model()}});
    }
    const std::string& first = fake_->script.models.front();
    *response->mutable_model() = fake_->Model(request->model().empty() ? first : request->model());
    return grpc::Status::OK;
  }

  grpc::Status Tokenize(grpc::ServerContext*, const v1::TokenizeRequest* request,
                        v1::TokenizeResponse* response) override {
    if (grpc::Status status = fake_->BeginCall(); !status.ok()) return status;
    fake_->Keep(*request, fake_->last_tokenize);
    FillIdentity(request->model(), response->mutable_model());
    for (const v1::Token& token : FakeTokens(request->text())) *response->add_tokens() = token;
    FillTimings(response->mutable_timings());
    return grpc::Status::OK;
  }

  grpc::Status Detokenize(grpc::ServerContext*, const v1::DetokenizeRequest* request,
                          v1::DetokenizeResponse* response) override {
    if (grpc::Status status = fake_->BeginCall(); !status.ok()) return status;
    fake_->Keep(*request, fake_->last_detokenize);
    FillIdentity(request->model(), response->mutable_model());
    for (int32_t id : request->ids()) {
      *response->add_tokens() = MakeToken(kWords[(id - 100) % std::size(kWords)]);
      response->mutable_bytes()->append(response->tokens().rbegin()->bytes());
    }
    response->set_text(response->bytes());
    FillTimings(response->mutable_timings());
    return grpc::Status::OK;
  }

 private:
  FakeServer* fake_;
};

class FakeServer::Predictions final : public v1::PredictionService::Service {
 public:
  explicit Predictions(FakeServer* fake) : fake_(fake) {}

  grpc::Status Predict(grpc::ServerContext*, const v1::PredictRequest* request,
                       v1::PredictResponse* response) override {
    grpc::Status status = fake_->BeginModelCall("Predict", request->model());
    if (!status.ok()) return status;
    fake_->Keep(*request, fake_->last_predict);
    FillIdentity(request->model(), response->mutable_model());
    FillPrompt(request->prompt(), response->mutable_prompt());
    const int64_t length = response->prompt().tokens_size();
    std::vector<int64_t> positions = {length - 1};
    if (!fake_->IsCausal(request->model())) positions = MaskPositions(response->prompt());
    if (request->positions().all()) positions = Resolve<int64_t>(std::vector<int64_t>(), length);
    if (request->positions().has_list()) {
      positions = Resolve<int64_t>(request->positions().list().positions(), length);
    }
    for (int64_t position : positions) {
      FillPrediction(*request, position, response);
    }
    FillTimings(response->mutable_timings());
    if (fake_->script.edit_predict) fake_->script.edit_predict(*response);
    return grpc::Status::OK;
  }

  grpc::Status Generate(grpc::ServerContext*, const v1::GenerateRequest* request,
                        grpc::ServerWriter<v1::GenerateResponse>* writer) override {
    if (grpc::Status status = fake_->BeginCall(); !status.ok()) return status;
    fake_->last_generate = *request;
    v1::GenerateResponse start;
    FillIdentity(request->model(), start.mutable_start()->mutable_model());
    FillPrompt(request->prompt(), start.mutable_start()->mutable_prompt());
    if (request->sampling().has_seed()) {
      start.mutable_start()->set_seed(request->sampling().seed());
    }
    int64_t position = start.start().prompt().tokens_size();
    Write(start, writer);
    const std::vector<std::string>& answer = fake_->script.answer;
    for (size_t i = 0; i < answer.size() || fake_->script.endless; ++i) {
      v1::GenerateResponse token;
      FillToken(*request, answer[i % answer.size()], position++, token.mutable_token());
      if (!Write(token, writer)) {
        fake_->cancelled_.Notify();
        return grpc::Status::CANCELLED;
      }
    }
    v1::GenerateResponse end;
    end.mutable_end()->set_finish_reason(v1::FINISH_REASON_LENGTH);
    end.mutable_end()->set_generated_token_count(static_cast<int64_t>(answer.size()));
    FillTimings(end.mutable_end()->mutable_timings());
    Write(end, writer);
    return grpc::Status::OK;
  }

 private:
  static std::vector<int64_t> MaskPositions(const v1::PromptInfo& prompt) {
    std::vector<int64_t> positions;
    for (int i = 0; i < prompt.tokens_size(); ++i) {
      if (prompt.tokens(i).special()) positions.push_back(i);
    }
    return positions;
  }

  void FillPrediction(const v1::PredictRequest& request, int64_t position,
                      v1::PredictResponse* response) const {
    v1::PositionPrediction* prediction = response->add_predictions();
    prediction->set_position(position);
    prediction->set_entropy(1.4556);  // 2.1 bits
    // A causal model predicts the token after the position, a bidirectional one the token there.
    const int64_t actual = position + (fake_->IsCausal(request.model()) ? 1 : 0);
    if (actual < response->prompt().tokens_size()) {
      *prediction->mutable_actual() =
          MakeCandidate(response->prompt().tokens(static_cast<int>(actual)).bytes(), 0.25, 2);
    }
    if (request.candidates().full()) {
      FillTensor({-1, -2, -3, -4}, {4}, prediction->mutable_log_probabilities());
      return;
    }
    if (request.candidates().has_texts()) {
      int rank = 1;
      for (const std::string& text : request.candidates().texts().texts()) {
        *prediction->add_candidates() =
            MakeCandidate(text[0] == ' ' ? text : " " + text, 0.4 / rank, rank);
        ++rank;
      }
      return;
    }
    const std::pair<const char*, double> best[] = {
        {" were", 0.412}, {" are", 0.287}, {" was", 0.061}, {" is", 0.0001}};
    const int count = request.candidates().has_top_k() ? request.candidates().top_k() : 4;
    for (int i = 0; i < std::min(count, 4); ++i) {
      *prediction->add_candidates() = MakeCandidate(best[i].first, best[i].second, i + 1);
    }
  }

  void FillToken(const v1::GenerateRequest& request, const std::string& bytes, int64_t position,
                 v1::GeneratedToken* token) {
    token->set_position(position);
    *token->mutable_token() = MakeToken(bytes);
    token->set_probability(0.5);
    token->set_log_probability(std::log(0.5));
    token->set_rank(1);
    token->set_entropy(1.4556);
    token->set_text_delta(bytes);
    for (int i = 0; i < request.top_candidates(); ++i) {
      *token->add_alternatives() = MakeCandidate(kWords[5 + i % 4], 0.5 / (i + 1), i + 1);
    }
    if (!request.has_attention()) return;
    for (int layer : Resolve<int>(request.attention().layers(), fake_->script.layers)) {
      for (int head : Resolve<int>(request.attention().heads(), fake_->script.heads)) {
        *token->add_attention() = MakeTile(fake_->script, layer, head, {position - 1}, position,
                                           request.attention().top_k().k());
      }
    }
  }

  bool Write(v1::GenerateResponse& message, grpc::ServerWriter<v1::GenerateResponse>* writer) {
    const auto& edit = fake_->script.edit_generate;
    return (edit && !edit(message)) || writer->Write(message);
  }

  FakeServer* fake_;
};

class FakeServer::Inspections final : public v1::InspectionService::Service {
 public:
  explicit Inspections(FakeServer* fake) : fake_(fake) {}

  grpc::Status GetAttention(grpc::ServerContext*, const v1::GetAttentionRequest* request,
                            grpc::ServerWriter<v1::GetAttentionResponse>* writer) override {
    grpc::Status status = fake_->BeginModelCall("GetAttention", request->model());
    if (!status.ok()) return status;
    fake_->Keep(*request, fake_->last_attention);
    FakeScript script = fake_->script;
    script.causal = fake_->IsCausal(request->model());
    v1::GetAttentionResponse first;
    v1::AttentionHeader* header = first.mutable_header();
    FillIdentity(request->model(), header->mutable_model());
    FillPrompt(request->prompt(), header->mutable_prompt());
    const int64_t keys = header->prompt().tokens_size();
    const auto layers = Resolve<int>(request->selection().layers(), script.layers);
    const auto heads = Resolve<int>(request->selection().heads(), script.heads);
    const auto queries = Resolve<int64_t>(request->selection().queries(), keys);
    header->mutable_layers()->Add(layers.begin(), layers.end());
    header->mutable_heads()->Add(heads.begin(), heads.end());
    header->mutable_queries()->Add(queries.begin(), queries.end());
    header->set_key_count(keys);
    header->set_causal(script.causal);
    header->set_total_bytes(static_cast<int64_t>(layers.size() * heads.size() * queries.size()) *
                            keys * 4);
    Write(first, writer);
    int64_t tiles = 0;
    for (int layer : layers) {
      for (int head : heads)
        tiles += WriteHead(*request, script, layer, head, queries, keys, writer);
    }
    v1::GetAttentionResponse last;
    last.mutable_end()->set_tile_count(tiles);
    FillTimings(last.mutable_end()->mutable_timings());
    Write(last, writer);
    return grpc::Status::OK;
  }

 private:
  // One head in two tiles, so that putting them together is tried. Returns how many tiles there
  // were.
  int64_t WriteHead(const v1::GetAttentionRequest& request, const FakeScript& script, int layer,
                    int head, const std::vector<int64_t>& queries, int64_t keys,
                    grpc::ServerWriter<v1::GetAttentionResponse>* writer) {
    const auto middle = queries.begin() + static_cast<std::ptrdiff_t>(queries.size() / 2);
    int64_t count = 0;
    for (const auto& part : {std::vector<int64_t>(queries.begin(), middle),
                             std::vector<int64_t>(middle, queries.end())}) {
      if (part.empty()) continue;
      v1::GetAttentionResponse response;
      *response.mutable_tile() =
          MakeTile(script, layer, head, part, keys, request.selection().top_k().k());
      Write(response, writer);
      ++count;
    }
    return count;
  }

  void Write(v1::GetAttentionResponse& message,
             grpc::ServerWriter<v1::GetAttentionResponse>* writer) {
    const auto& edit = fake_->script.edit_attention;
    if (!edit || edit(message)) writer->Write(message);
  }

  FakeServer* fake_;
};

class FakeServer::Embeddings final : public v1::EmbeddingService::Service {
 public:
  explicit Embeddings(FakeServer* fake) : fake_(fake) {}

  // Pools by the mean unless another way is asked for.
  grpc::Status Embed(grpc::ServerContext*, const v1::EmbedRequest* request,
                     v1::EmbedResponse* response) override {
    if (grpc::Status status = fake_->BeginCall(); !status.ok()) return status;
    fake_->last_embed = *request;
    FillIdentity(request->model(), response->mutable_model());
    const bool given = request->pooling() != v1::POOLING_UNSPECIFIED;
    response->set_pooling(given ? request->pooling() : v1::POOLING_MEAN);
    response->set_normalized(request->normalize());
    for (const v1::Prompt& prompt : request->prompts()) {
      FillText(*request, prompt, response->pooling(), response->add_embeddings());
    }
    FillTimings(response->mutable_timings());
    if (fake_->script.edit_embed) fake_->script.edit_embed(*response);
    return grpc::Status::OK;
  }

 private:
  static void FillText(const v1::EmbedRequest& request, const v1::Prompt& prompt,
                       v1::Pooling pooling, v1::TextEmbedding* embedding) {
    FillPrompt(prompt, embedding->mutable_prompt());
    const int64_t count = embedding->prompt().tokens_size();
    std::vector<float> tokens;
    for (int64_t i = 0; i < count; ++i) {
      const auto vector = FakeTokenVector(embedding->prompt().tokens(static_cast<int>(i)).id(), i);
      tokens.insert(tokens.end(), vector.begin(), vector.end());
    }
    std::vector<float> pooled = Pool(tokens, count, pooling);
    if (request.has_dimensions()) pooled.resize(request.dimensions());
    if (request.normalize()) Normalize(pooled);
    FillTensor(pooled, {static_cast<int64_t>(pooled.size())}, embedding->mutable_vector());
    if (request.token_vectors()) {
      FillTensor(tokens, {count, static_cast<int64_t>(tokens.size()) / count},
                 embedding->mutable_token_vectors());
    }
  }

  static std::vector<float> Pool(const std::vector<float>& tokens, int64_t count,
                                 v1::Pooling pooling) {
    const auto width = static_cast<std::ptrdiff_t>(tokens.size()) / count;
    if (pooling == v1::POOLING_CLS) return {tokens.begin(), tokens.begin() + width};
    if (pooling == v1::POOLING_LAST) return {tokens.end() - width, tokens.end()};
    std::vector<float> mean(width);
    for (size_t i = 0; i < tokens.size(); ++i) {
      mean[i % width] += tokens[i] / static_cast<float>(count);
    }
    return mean;
  }

  static void Normalize(std::vector<float>& vector) {
    float squares = 0;
    for (float value : vector) squares += value * value;
    for (float& value : vector) value /= std::sqrt(squares);
  }

  FakeServer* fake_;
};

FakeServer::FakeServer()
    : models_(std::make_unique<Models>(this)),
      predictions_(std::make_unique<Predictions>(this)),
      inspections_(std::make_unique<Inspections>(this)),
      embeddings_(std::make_unique<Embeddings>(this)) {
  grpc::EnableDefaultHealthCheckService(true);
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(models_.get());
  builder.RegisterService(predictions_.get());
  builder.RegisterService(inspections_.get());
  builder.RegisterService(embeddings_.get());
  server_ = builder.BuildAndStart();
  address_ = absl::StrCat("127.0.0.1:", port);
  for (const char* service : {"heed.v1.ModelService", "heed.v1.PredictionService",
                              "heed.v1.InspectionService", "heed.v1.EmbeddingService"}) {
    SetServing(service, true);
  }
}

FakeServer::~FakeServer() {
  Shutdown();
}

void FakeServer::Shutdown() {
  if (server_ == nullptr) return;
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  server_.reset();
}

void FakeServer::SetServing(const std::string& service, bool serving) {
  server_->GetHealthCheckService()->SetServingStatus(service, serving);
}

void FakeServer::FailNext(int count, grpc::Status status) {
  absl::MutexLock lock(&mutex_);
  failures_left_ = count;
  failure_ = std::move(status);
}

grpc::Status FakeServer::BeginCall() {
  ++call_count_;
  absl::MutexLock lock(&mutex_);
  if (failures_left_ == 0) return grpc::Status::OK;
  --failures_left_;
  return failure_;
}

grpc::Status FakeServer::BeginModelCall(const std::string& rpc, const std::string& model) {
  if (grpc::Status status = BeginCall(); !status.ok()) return status;
  return script.refuse ? script.refuse(rpc, model) : grpc::Status::OK;
}

bool FakeServer::IsLoaded(const std::string& model) const {
  return model.empty() ||
         std::find(script.models.begin(), script.models.end(), model) != script.models.end();
}

bool FakeServer::IsCausal(const std::string& model) const {
  const std::string& name = model.empty() ? script.models.front() : model;
  const auto& both = script.bidirectional;
  return script.causal && std::find(both.begin(), both.end(), name) == both.end();
}

v1::Model FakeServer::Model(const std::string& name) const {
  v1::Model model;
  FillIdentity(name, model.mutable_identity());
  model.set_architecture("llama");
  model.set_direction(IsCausal(name) ? v1::ATTENTION_DIRECTION_CAUSAL
                                     : v1::ATTENTION_DIRECTION_BIDIRECTIONAL);
  model.set_parameter_count(1234567);
  model.set_layer_count(script.layers);
  model.set_head_count(script.heads);
  model.set_kv_head_count(1);
  model.set_head_dim(64);
  model.set_hidden_size(128);
  model.set_feed_forward_size(512);
  model.set_mixing(v1::MIXING_PATTERN_ATTENTION);
  model.set_vocabulary_size(1000);
  model.set_context_window(256);
  model.set_checkpoint_dtype("BF16");
  model.set_compute_dtype("F32");
  model.set_weight_bytes(4938268);
  model.mutable_tokenizer()->set_kind("byte-level BPE");
  model.mutable_tokenizer()->set_vocabulary_size(998);
  model.mutable_tokenizer()->add_end_of_text_ids(0);
  if (!IsCausal(name)) {
    model.mutable_tokenizer()->set_mask_id(kMaskId);
    model.mutable_tokenizer()->set_mask_text(kMask);
  }
  model.set_mixing(script.mixing);
  for (auto capability : {v1::CAPABILITY_PREDICT, v1::CAPABILITY_GENERATE, v1::CAPABILITY_ATTENTION,
                          v1::CAPABILITY_EMBED}) {
    model.add_capabilities(capability);
  }
  return model;
}

}  // namespace heed::testing
