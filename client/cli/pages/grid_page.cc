#include "client/cli/pages/grid_page.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_replace.h"
#include "client/cli/base/json_parts.h"

namespace heed::cli {

namespace {

const char* ScaleName(PageScale scale) {
  switch (scale) {
    case PageScale::kLinear:
      break;
    case PageScale::kRoot:
      return "root";
    case PageScale::kLog:
      return "log";
  }
  return "linear";
}

}  // namespace

std::string GridPage(const GridPageData& data) {
  Page page(data.source);
  JsonWriter& json = page.json();
  json.Key("heading").String(data.heading);
  json.Key("tokens");
  WriteTexts(json, data.tokens);
  json.Key("dropped").String(data.dropped);
  json.Key("row_name").String(data.row_name);
  json.Key("column_name").String(data.column_name);
  json.Key("rows");
  WriteTexts(json, data.rows);
  json.Key("columns");
  WriteTexts(json, data.columns);
  json.Key("columns_are_tokens").Bool(data.columns_are_tokens);
  json.Key("rank_by_row").Bool(data.rank_by_row);
  json.Key("grids").BeginArray();
  for (const PageGrid& grid : data.grids) {
    json.BeginObject();
    json.Key("title").String(grid.title);
    json.Key("meaning").String(grid.meaning);
    json.Key("signed").Bool(grid.is_signed);
    json.Key("scale").String(ScaleName(grid.scale));
    json.Key("values");
    WriteMatrix(json, grid.values, data.columns.size());
    json.EndObject();
  }
  json.EndArray();
  json.Key("first").Int(static_cast<int64_t>(data.first));
  if (data.bars) {
    json.Key("bars").BeginObject();
    json.Key("title").String(data.bars->title);
    json.Key("meaning").String(data.bars->meaning);
    json.Key("values").BeginArray();
    for (float value : data.bars->values) json.Float(value);
    json.EndArray().EndObject();
  }
  json.Key("base");
  data.base ? json.Number(*data.base) : json.Null();
  json.Key("base_text").String(data.base_text);
  json.Key("note").String(data.note);
  return page.Finish(kGridScript, PageTitle(data.verb, data.tokens));
}

Export GridExport(const GridPageData& data) {
  Export file;
  file.axes.push_back({data.row_name, data.rows, {}});
  if (!data.column_positions.empty()) {
    file.axes.push_back(TokenAxis(data.column_name, data.column_positions, data.plain_texts));
  } else if (!data.column_name.empty()) {
    file.axes.push_back({data.column_name, data.columns, {}});
  }
  // The one that was asked for comes first.
  for (size_t i = 0; i < data.grids.size(); ++i) {
    const PageGrid& grid = data.grids[(data.first + i) % data.grids.size()];
    const std::string name = absl::AsciiStrToLower(absl::StrReplaceAll(grid.title, {{" ", "_"}}));
    file.tensors.push_back({name, grid.values, {}});
  }
  AddSource(data.source, data.plain_texts, &file);
  return file;
}

}  // namespace heed::cli
