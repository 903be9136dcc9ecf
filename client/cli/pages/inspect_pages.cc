#include "client/cli/pages/inspect_pages.h"

#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/base/format.h"
#include "client/cli/base/json_parts.h"
#include "client/cli/pages/wire_parts.h"
#include "client/cli/request/edits.h"
#include "client/cli/request/inspect_calls.h"

namespace heed::cli {
namespace {

void WriteLensCell(JsonWriter& json, const v1::LensCell& cell) {
  json.BeginObject().Key("top").BeginArray();
  for (const v1::Candidate& candidate : cell.candidates()) WritePageCandidate(json, candidate);
  json.EndArray();
  json.Key("entropy").Number(cell.entropy());
  json.Key("kl").Number(cell.kl_to_final());
  json.Key("followed").BeginArray();
  for (const v1::Candidate& candidate : cell.followed()) WritePageCandidate(json, candidate);
  json.EndArray().EndObject();
}

const char* KindName(v1::ComponentKind kind) {
  switch (kind) {
    case v1::COMPONENT_KIND_EMBEDDING:
      return "embedding";
    case v1::COMPONENT_KIND_ATTENTION:
      return "attention";
    case v1::COMPONENT_KIND_MLP:
      return "mlp";
    case v1::COMPONENT_KIND_HEAD:
      return "head";
    case v1::COMPONENT_KIND_ATTENTION_BIAS:
      return "attention_bias";
    case v1::COMPONENT_KIND_EDIT:
      return "edit";
    case v1::COMPONENT_KIND_FINAL_BIAS:
      return "final_bias";
    default:
      return "other";
  }
}

void WritePair(JsonWriter& json, const v1::AlignedPair& pair) {
  json.BeginObject();
  json.Key("a").Int(pair.position_a());
  json.Key("b").Int(pair.position_b());
  json.Key("same").Bool(pair.same_token());
  json.Key("kl");
  pair.has_kl() ? json.Number(pair.kl()) : json.Null();
  if (pair.has_top_a()) {
    json.Key("top_a");
    WritePageCandidate(json, pair.top_a());
  }
  if (pair.has_top_b()) {
    json.Key("top_b");
    WritePageCandidate(json, pair.top_b());
  }
  json.Key("changes").BeginArray();
  for (const v1::ProbabilityChange& change : pair.changes()) {
    json.BeginObject();
    json.Key("token").String(VisibleWireToken(change.token()));
    json.Key("a").Number(change.probability_a());
    json.Key("b").Number(change.probability_b());
    json.EndObject();
  }
  json.EndArray().EndObject();
}

ExportTensor Scalars(std::string name, size_t count) {
  return {std::move(name), std::vector<float>(count), {}};
}

}  // namespace

std::vector<std::string> EditNames(const Arguments& arguments, RunSource& source,
                                   const std::string& layer_option,
                                   const std::string& head_option) {
  std::vector<std::string> names;
  const auto edits = ReadEdits(arguments, source, layer_option, head_option);
  if (!edits.ok()) return names;
  for (const NamedEdit& edit : *edits) names.push_back(edit.name);
  return names;
}

std::string LensPage(const v1::LogitLensResponse& lens, const LensPageFacts& facts) {
  Page page(SourceOf(lens.provenance(), facts.edits));
  JsonWriter& json = page.json();
  WriteTokensOf(json, lens.prompt());
  json.Key("layers");
  WriteTexts(json, facts.layer_names);
  json.Key("at_or_after").String(facts.at_or_after);
  json.Key("position")
      .Int(facts.position < 0 ? facts.position + lens.prompt().tokens_size() : facts.position);
  json.Key("positions");
  WriteInts(json, lens.positions());
  json.Key("followed").BeginArray();
  if (lens.cells_size() > 0) {
    for (const v1::Candidate& followed : lens.cells(0).followed()) {
      json.String(VisibleWireToken(followed.token()));
    }
  }
  json.EndArray().Key("cells").BeginArray();
  for (int row = 0; row < lens.layers_size(); ++row) {
    json.BeginArray();
    for (int column = 0; column < lens.positions_size(); ++column) {
      WriteLensCell(json, lens.cells(row * lens.positions_size() + column));
    }
    json.EndArray();
  }
  json.EndArray();
  return page.Finish(kLensScript, PageTitle("lens", VisibleWireTokens(lens.prompt())));
}

Export LensExport(const v1::LogitLensResponse& lens, const std::vector<std::string>& edits) {
  const std::vector<std::string> texts = PlainWireTexts(lens.prompt());
  Export file;
  file.axes = {NumberAxis("layer", lens.layers()), TokenAxis("position", lens.positions(), texts)};
  ExportTensor probability{"top_probability", {}, {}};
  ExportTensor token{"top_token_id", {}, {}};
  ExportTensor entropy{"entropy_nats", {}, {}};
  ExportTensor kl{"kl_to_final_nats", {}, {}};
  std::vector<ExportTensor> followed;
  int words = 0;  // of the cells that have the most
  for (const v1::LensCell& cell : lens.cells()) words = std::max(words, cell.candidates_size());
  const std::vector<int64_t> all = {lens.layers_size(), lens.positions_size(), words};
  ExportTensor probabilities{"candidate_probability", {}, all};
  ExportTensor ids{"candidate_token_id", {}, all};
  for (const v1::LensCell& cell : lens.cells()) {
    for (int i = 0; i < words; ++i) {
      const bool known = i < cell.candidates_size();
      const v1::Candidate candidate = known ? cell.candidates(i) : v1::Candidate();
      probabilities.values.push_back(known ? static_cast<float>(candidate.probability()) : NAN);
      ids.values.push_back(known ? static_cast<float>(candidate.token().id()) : NAN);
    }
    const bool known = cell.candidates_size() > 0;
    probability.values.push_back(known ? static_cast<float>(cell.candidates(0).probability())
                                       : NAN);
    token.values.push_back(known ? static_cast<float>(cell.candidates(0).token().id()) : NAN);
    entropy.values.push_back(static_cast<float>(cell.entropy()));
    kl.values.push_back(static_cast<float>(cell.kl_to_final()));
    for (int i = 0; i < cell.followed_size(); ++i) {
      const v1::Candidate& candidate = cell.followed(i);
      if (static_cast<int>(followed.size()) <= 2 * i) {
        const std::string name = VisibleWireToken(candidate.token());
        followed.push_back({absl::StrCat("probability of ", name), {}, {}});
        followed.push_back({absl::StrCat("rank of ", name), {}, {}});
      }
      followed[2 * i].values.push_back(static_cast<float>(candidate.probability()));
      followed[2 * i + 1].values.push_back(static_cast<float>(candidate.rank()));
    }
  }
  file.tensors = {std::move(probability), std::move(token), std::move(entropy), std::move(kl)};
  for (ExportTensor& tensor : followed) file.tensors.push_back(std::move(tensor));
  if (words > 1) {
    file.others = {std::move(probabilities), std::move(ids)};
    file.metadata["candidate_axes"] = R"(["layer","position","rank"])";
  }
  AddSource(SourceOf(lens.provenance(), edits), texts, &file);
  return file;
}

std::string AttributePage(const v1::AttributeLogitsResponse& answer,
                          const AttributePageFacts& facts) {
  Page page(SourceOf(answer.provenance(), facts.edits));
  JsonWriter& json = page.json();
  WriteTokensOf(json, answer.prompt());
  json.Key("position").Int(answer.position());
  json.Key("at_or_after").String(facts.at_or_after);
  json.Key("token").String(VisibleWireToken(answer.token()));
  json.Key("against").String(answer.has_against() ? VisibleWireToken(answer.against()) : "");
  json.Key("logit").Number(answer.logit());
  json.Key("residual_error").Number(answer.residual_error());
  json.Key("before_cap").Bool(answer.before_cap());
  json.Key("unit").String(facts.begins_with_heads ? "head" : "component");
  json.Key("parts").BeginArray();
  for (int i = 0; i < answer.parts_size(); ++i) {
    const v1::LogitPart& part = answer.parts(i);
    json.BeginObject();
    json.Key("name").String(facts.part_names[static_cast<size_t>(i)]);
    json.Key("kind").String(KindName(part.kind()));
    if (part.has_layer()) json.Key("layer").Int(part.layer());
    if (part.has_head()) json.Key("head").Int(part.head());
    json.Key("value").Number(part.value());
    if (part.has_by_source()) {
      json.Key("by_source");
      WriteFloats(json, TensorFloats(part.by_source()));
    }
    json.EndObject();
  }
  json.EndArray();
  return page.Finish(kAttributeScript, PageTitle("attribute", VisibleWireTokens(answer.prompt())));
}

Export AttributeExport(const v1::AttributeLogitsResponse& answer,
                       const std::vector<std::string>& part_names,
                       const std::vector<std::string>& edits) {
  const std::vector<std::string> texts = PlainWireTexts(answer.prompt());
  Export file;
  ExportTensor values{"value", {}, {}};
  ExportTensor by_source{"by_source", {}, {}};
  std::vector<std::string> heads;
  for (int i = 0; i < answer.parts_size(); ++i) {
    const v1::LogitPart& part = answer.parts(i);
    values.values.push_back(static_cast<float>(part.value()));
    if (!part.has_by_source()) continue;
    heads.push_back(part_names[static_cast<size_t>(i)]);
    const std::vector<float> shares = TensorFloats(part.by_source());
    by_source.values.insert(by_source.values.end(), shares.begin(), shares.end());
  }
  if (heads.empty()) {
    file.axes = {{"part", part_names, {}}};
    file.tensors = {std::move(values)};
  } else {
    // What was split by source is the table; the parts with all that has no source stand beside it.
    file.axes = {{"part", heads, {}}, TokenAxis("source", texts)};
    file.tensors = {std::move(by_source)};
    values.shape = {answer.parts_size()};
    file.others = {std::move(values)};
    file.metadata["value_labels"] = JsonTexts(part_names);
  }
  AddSource(SourceOf(answer.provenance(), edits), texts, &file);
  file.metadata["position"] = absl::StrCat(answer.position());
  file.metadata["token"] = PlainWireText(answer.token());
  file.metadata["token_id"] = absl::StrCat(answer.token().id());
  if (answer.has_against()) {
    file.metadata["against"] = PlainWireText(answer.against());
    file.metadata["against_id"] = absl::StrCat(answer.against().id());
  }
  file.metadata["before_cap"] = answer.before_cap() ? "true" : "false";
  file.metadata["logit"] = absl::StrCat(answer.logit());
  file.metadata["residual_error"] = absl::StrCat(answer.residual_error());
  return file;
}

std::string ComparePage(const v1::CompareResponse& answer, const std::vector<std::string>& edits,
                        const std::string& at_or_after) {
  PageSource source = SourceOf(answer.b(), edits);
  source.definition = answer.a().definition();  // that of both sides
  Page page(source);
  JsonWriter& json = page.json();
  json.Key("at_or_after").String(at_or_after);
  json.Key("source_a").BeginObject().Key("model");
  WriteIdentity(json, {answer.a().model().name(), answer.a().model().digest()});
  json.Key("edits").BeginArray();
  if (answer.a().intervention_count() > 0) {
    json.String(Plural(answer.a().intervention_count(), "edit"));
  }
  json.EndArray().EndObject();
  json.Key("tokens").BeginArray();
  WriteTexts(json, VisibleWireTokens(answer.prompt_a()));
  WriteTexts(json, VisibleWireTokens(answer.prompt_b()));
  json.EndArray();
  json.Key("pairs").BeginArray();
  for (const v1::AlignedPair& pair : answer.pairs()) WritePair(json, pair);
  json.EndArray();
  json.Key("first_divergence");
  answer.has_first_divergence() ? json.Int(answer.first_divergence()) : json.Null();
  json.Key("head_divergence");
  if (answer.has_head_divergence() && answer.head_divergence().shape_size() == 2) {
    WriteMatrix(json, TensorFloats(answer.head_divergence()),
                static_cast<size_t>(answer.head_divergence().shape(1)));
  } else {
    json.Null();
  }
  return page.Finish(kCompareScript, PageTitle("compare", VisibleWireTokens(answer.prompt_b())));
}

Export CompareExport(const v1::CompareResponse& answer, const std::vector<std::string>& edits) {
  const std::vector<std::string> texts_a = PlainWireTexts(answer.prompt_a());
  const std::vector<std::string> texts_b = PlainWireTexts(answer.prompt_b());
  const size_t count = static_cast<size_t>(answer.pairs_size());
  Export file;
  file.axes = {{"pair", {}, {}}};
  file.texts = {{"token_a", {}}, {"token_b", {}}};
  std::vector<ExportTensor> columns = {
      Scalars("kl_nats", count),           Scalars("position_a", count),
      Scalars("position_b", count),        Scalars("same_token", count),
      Scalars("top_probability_a", count), Scalars("top_probability_b", count)};
  for (size_t i = 0; i < count; ++i) {
    const v1::AlignedPair& pair = answer.pairs(static_cast<int>(i));
    file.axes[0].labels.push_back(absl::StrCat(i));
    file.texts[0].texts.push_back(texts_a[static_cast<size_t>(pair.position_a())]);
    file.texts[1].texts.push_back(texts_b[static_cast<size_t>(pair.position_b())]);
    columns[0].values[i] = pair.has_kl() ? static_cast<float>(pair.kl()) : NAN;
    columns[1].values[i] = static_cast<float>(pair.position_a());
    columns[2].values[i] = static_cast<float>(pair.position_b());
    columns[3].values[i] = pair.same_token() ? 1 : 0;
    columns[4].values[i] = static_cast<float>(pair.top_a().probability());
    columns[5].values[i] = static_cast<float>(pair.top_b().probability());
  }
  file.tensors = std::move(columns);
  if (answer.has_head_divergence()) {
    const v1::Tensor& heads = answer.head_divergence();
    file.others = {{"head_divergence_nats",
                    TensorFloats(heads),
                    {heads.shape().begin(), heads.shape().end()}}};
    file.metadata["head_divergence_nats_axes"] = JsonTexts({"layer", "head"});
  }
  AddSource(SourceOf(answer.b(), edits), texts_b, &file);
  file.metadata["definition"] = answer.a().definition();  // that of both sides
  file.metadata["model_a"] = answer.a().model().name();
  file.metadata["digest_a"] = answer.a().model().digest();
  file.metadata["tokens_a"] = JsonTexts(texts_a);
  return file;
}

Export ExplainExport(const v1::ExplainRowResponse& row, const std::vector<std::string>& edits) {
  std::vector<std::string> texts = PlainWireTexts(row.prompt());
  Export file;
  file.metadata["layer"] = absl::StrCat(row.layer());
  file.metadata["head"] = absl::StrCat(row.head());
  file.metadata["query"] = absl::StrCat(row.query());
  const std::vector<std::string> all_texts = texts;
  texts.resize(static_cast<size_t>(row.key_count()));
  file.axes = {TokenAxis("key", texts)};
  AddSource(SourceOf(row.provenance(), edits), all_texts, &file);
  using Field = std::pair<const char*, const v1::Tensor*>;
  for (const auto& [name, tensor] :
       {Field{"weight", &row.weights()}, Field{"raw", &row.raw()}, Field{"scaled", &row.scaled()},
        Field{"capped", &row.capped()}, Field{"masked", &row.masked()},
        Field{"value_norm", &row.value_norms()}, Field{"weighted_norm", &row.weighted_norms()}}) {
    std::vector<float> values = TensorFloats(*tensor);
    if (values.size() == texts.size()) file.tensors.push_back({name, std::move(values), {}});
  }
  for (const v1::LogitShare& share : row.logit_shares()) {
    file.tensors.push_back({absl::StrCat("share of ", VisibleWireToken(share.token())),
                            TensorFloats(share.by_key()),
                            {}});
  }
  for (const auto& [name, tensor] :
       {Field{"query_vector", &row.query_vector()}, Field{"key_vectors", &row.key_vectors()},
        Field{"value_vectors", &row.value_vectors()}, Field{"context", &row.context()},
        Field{"projection", &row.projection()}}) {
    std::vector<float> values = TensorFloats(*tensor);
    if (values.empty()) continue;
    file.others.push_back(
        {name, std::move(values), {tensor->shape().begin(), tensor->shape().end()}});
  }
  return file;
}

}  // namespace heed::cli
